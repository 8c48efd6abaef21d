import { useState } from "preact/hooks";
import type { Tool } from "../chat/turn";
import { t } from "../text";
import { seconds } from "../util/format";
import { useNow } from "./header";
import { Icon } from "./icons";

/** What the card says in one line: the argument that tells most. */
const TELLING = ["command", "path", "query", "url", "purpose", "summary"];

export function ToolCard({ tool, finished }: { tool: Tool; finished: boolean }) {
  const [open, setOpen] = useState(false);
  const state: "completed" | "failed" | "unknown" | "started" =
    tool.state === "completed" || tool.state === "failed" ? tool.state : finished ? "unknown" : "started";
  const label = { completed: t("toolCompleted"), failed: t("toolFailed"), unknown: t("toolUnknown"), started: t("toolStarted") }[state];
  const brief = TELLING.map((key) => tool.about[key]).find(Boolean) ?? Object.values(tool.about)[0] ?? "";
  return (
    <section class={`tool ${state}`}>
      <button type="button" class="tool-head" aria-expanded={open} onClick={() => setOpen(!open)}>
        <Icon name="chevron" />
        <span class="tool-name">{tool.name || t("toolResult")}</span>
        <span class="tool-brief">{brief.split("\n", 1)[0]}</span>
        <span class="tool-state">
          {state === "completed" && <Icon name="check" />}
          {state === "failed" && <Icon name="alert" />}
          {state === "started" && <span class="spinner" aria-hidden="true" />}
          {label}
          {tool.seconds != null && <span class="tool-time">{seconds(tool.seconds)}</span>}
          {state === "started" && <Clock since={tool.seen} />}
        </span>
      </button>
      {open && <Body tool={tool} />}
    </section>
  );
}

function Clock({ since }: { since: number }) {
  const passed = (useNow(1_000) - since) / 1000;
  return passed >= 2 ? <span class="tool-time">{seconds(Math.floor(passed))}</span> : null;
}

function Body({ tool }: { tool: Tool }) {
  return (
    <div class="tool-body">
      {tool.trusted && <p class="quiet">{t("toolTrusted")}</p>}
      <dl>
        {Object.entries(tool.about).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{name === "diff" ? <Diff text={value} /> : <pre tabIndex={0}>{value}</pre>}</dd>
          </div>
        ))}
        {tool.output && (
          <div>
            <dt>{t("toolResult")}</dt>
            <dd>
              <pre tabIndex={0}>{tool.output}</pre>
            </dd>
          </div>
        )}
      </dl>
    </div>
  );
}

function Diff({ text }: { text: string }) {
  const kind = (line: string) => (/^\s*\+/.test(line) ? "added" : /^\s*-/.test(line) ? "removed" : "");
  return (
    <pre class="diff" tabIndex={0}>
      {text.split("\n").map((line, index) => (
        <span key={index} class={kind(line)}>
          {`${line}\n`}
        </span>
      ))}
    </pre>
  );
}
