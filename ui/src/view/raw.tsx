import { useEffect, useState } from "preact/hooks";
import { api, request } from "../api/client";
import type { Turn } from "../chat/turn";
import { explain } from "../state/app";
import { t } from "../text";
import { bytes } from "../util/format";

const MOST = 512 * 1024;

/** Exactly what the CLI wrote, control characters made visible. */
export function RawView({ session, turn }: { session: string; turn: Turn }) {
  const [text, setText] = useState<string | null>(null);
  const [problem, setProblem] = useState("");
  const all = turn.ending.value?.bytes ?? 0;
  useEffect(() => {
    const headers = all > MOST ? { Range: `bytes=0-${MOST - 1}` } : undefined;
    request(api.outputHref(session, turn.number), headers ? { headers } : {})
      .then((response) => response.arrayBuffer())
      .then((buffer) => setText(visible(new TextDecoder().decode(buffer))))
      .catch((error: unknown) => setProblem(explain(error)));
  }, [session, turn, all]);
  return (
    <div class="raw">
      <div class="raw-head">
        <span>{t("rawTitle")}</span>
        <a href={api.outputHref(session, turn.number)} download={`turn-${turn.number}.out`}>
          {t("download")}
        </a>
      </div>
      {problem && <p class="bad">{problem}</p>}
      {text !== null && <pre tabIndex={0}>{text || t("rawEmpty")}</pre>}
      {all > MOST && <p class="quiet">{t("rawCut", { shown: bytes(MOST), all: bytes(all) })}</p>}
    </div>
  );
}

/** Control characters as their pictures: escape becomes ␛. Line feeds and tabs stay what they are. */
function visible(text: string): string {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, (character) =>
    character === "\u007f" ? "\u2421" : String.fromCharCode(0x2400 + character.charCodeAt(0)),
  );
}
