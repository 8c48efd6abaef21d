import { useEffect, useState } from "preact/hooks";
import type { Conversation } from "../chat/conversation";
import type { Part, Turn } from "../chat/turn";
import { stop } from "../state/app";
import { maybe, t } from "../text";
import { copyText } from "../util/clipboard";
import { clockTime, dateTime, seconds } from "../util/format";
import { AnswerView } from "./answer";
import { EndingView } from "./ending";
import { useNow } from "./header";
import { RawView } from "./raw";
import { ToolCard } from "./tool-card";

interface Props {
  turn: Turn;
  conversation: Conversation;
  grew: () => void;
}

export function TurnView({ turn, conversation, grew }: Props) {
  const session = conversation.id;
  const [raw, setRaw] = useState(false);
  const state = turn.state.value;
  return (
    <article class={`turn ${state}`} aria-busy={!turn.finished}>
      <div class="prompt">
        <h3 class="visually-hidden">{t("yourMessage")}</h3>
        <Prompt text={turn.prompt} />
        <time class="prompt-time" dateTime={new Date(turn.created * 1000).toISOString()} title={dateTime(turn.created)}>
          {clockTime(turn.created)}
        </time>
      </div>
      <div class="reply">
        <h3 class="visually-hidden">{t("answer")}</h3>
        {raw ? <RawView session={session} turn={turn} /> : <Parts turn={turn} session={session} grew={grew} />}
        {state === "queued" && <Queued turn={turn} conversation={conversation} />}
        {state === "running" && <Working turn={turn} grew={grew} />}
        <EndingView turn={turn} conversation={conversation} />
        {turn.finished && <Footer turn={turn} raw={raw} setRaw={setRaw} />}
      </div>
    </article>
  );
}

/** A prompt that is longer than what one wants to scroll past shows its beginning. */
function Prompt({ text }: { text: string }) {
  const [open, setOpen] = useState(false);
  const long = text.length > 1_200 || text.split("\n").length > 14;
  return (
    <>
      <div class={`prompt-text ${long && !open ? "clipped" : ""}`}>{text}</div>
      {long && (
        <button type="button" class="link" aria-expanded={open} onClick={() => setOpen(!open)}>
          {t(open ? "showLess" : "showAll")}
        </button>
      )}
    </>
  );
}

function Parts({ turn, session, grew }: { turn: Turn; session: string; grew: () => void }) {
  const parts = turn.parts.value;
  useEffect(grew, [parts]);
  return (
    <>
      {parts.map((part, index) => (
        <PartView key={index} part={part} turn={turn} session={session} grew={grew} />
      ))}
    </>
  );
}

function PartView({ part, turn, session, grew }: { part: Part; turn: Turn; session: string; grew: () => void }) {
  if (part.kind === "text") return <AnswerView text={part.text} session={session} grew={grew} />;
  if (part.kind === "tool") return <ToolCard tool={part} finished={turn.finished} />;
  return <p class="notice">{maybe(`notice_${part.code}`) ?? part.message}</p>;
}

function Queued({ turn, conversation }: { turn: Turn; conversation: Conversation }) {
  // What the server says of its line, and until it says so the place among the session's own.
  const waiting = conversation.turns.value.filter((one) => one.number < turn.number && one.state.value === "queued");
  const place = turn.place.value || waiting.length + 1;
  return (
    <div class="working">
      <span class="dot waiting" aria-hidden="true" />
      {place > 1 ? t("queuedPlace", { place }) : t("queuedNext")}
      <button type="button" class="link" disabled={turn.stopping.value} onClick={() => void stop(turn)}>
        {t("cancelQueued")}
      </button>
    </div>
  );
}

function Working({ turn, grew }: { turn: Turn; grew: () => void }) {
  const now = useNow(1_000);
  useEffect(grew, []);
  const since = Math.max(0, Math.floor(now / 1000 - turn.created));
  return (
    <div class="working">
      <span class="pulse" aria-hidden="true">
        <i />
        <i />
        <i />
      </span>
      {t(turn.stopping.value ? "stopping" : "thinking")}
      {since >= 3 && <span class="since">{seconds(since)}</span>}
    </div>
  );
}

function Footer({ turn, raw, setRaw }: { turn: Turn; raw: boolean; setRaw: (raw: boolean) => void }) {
  const took = turn.ending.value?.seconds;
  return (
    <div class="turn-foot">
      {!turn.empty && (
        <button type="button" class="link" onClick={(event) => void copyText(turn.answer, event.currentTarget)}>
          {t("copyAnswer")}
        </button>
      )}
      <button type="button" class="link" aria-pressed={raw} onClick={() => setRaw(!raw)}>
        {t(raw ? "hideRaw" : "showRaw")}
      </button>
      {took != null && <span class="quiet">{seconds(took)}</span>}
    </div>
  );
}
