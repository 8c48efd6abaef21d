import type { VNode } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Conversation } from "../chat/conversation";
import type { Turn } from "../chat/turn";
import { explain, outbox, previewed, reload } from "../state/app";
import { t } from "../text";
import { Icon } from "./icons";
import { LetterView } from "./letter";
import { Scroller } from "./scroller";
import { TurnView } from "./turn";
import { copyText } from "../util/clipboard";

export function ConversationView({ conversation }: { conversation: Conversation }) {
  const state = conversation.state.value;
  if (state === "loading" && conversation.turns.value.length === 0) return <div class="conversation" aria-busy="true"><p class="quiet pad centred">{t("loading")}</p></div>;
  if (state === "gone") return <Message title={t("sessionGone")} hint={t("sessionGoneHint")} />;
  if (state === "failed") return <Message title={t("loadFailed")} hint={explain(conversation.failure.value)} retry />;
  return <Turns conversation={conversation} />;
}

function Message({ title, hint, retry = false }: { title: string; hint: string; retry?: boolean }) {
  return (
    <div class="conversation">
      <div class="message" role="alert">
        <h2>{title}</h2>
        <p>{hint}</p>
        {retry && (
          <button type="button" class="button" onClick={reload}>
            {t("tryAgain")}
          </button>
        )}
      </div>
    </div>
  );
}

function Turns({ conversation }: { conversation: Conversation }) {
  const box = useRef<HTMLDivElement>(null);
  const scroller = useRef<Scroller | null>(null);
  const [away, setAway] = useState(false);
  useLayoutEffect(() => {
    const found = new Scroller(box.current as HTMLElement, {
      away: setAway,
      top: () => void earlier(conversation, found),
    });
    scroller.current = found;
    return () => found.close();
  }, [conversation]);

  const turns = conversation.turns.value;
  // The same node again is not looked into: one more turn costs the same whether there are ten or two thousand.
  const rows = useRef(new Map<Turn, VNode>());
  const row = (turn: Turn) => {
    const known = rows.current.get(turn);
    if (known) return known;
    const made = <TurnView key={turn.number} turn={turn} conversation={conversation} grew={() => scroller.current?.grew()} />;
    rows.current.set(turn, made);
    return made;
  };
  const letters = outbox.letters.value.filter((letter) => letter.session === conversation.id);
  // A prompt whose turn has begun while the answer to sending it is still on its way is shown once.
  const last = turns.at(-1);
  const waiting = letters.filter((letter) => !(letter.state === "sending" && last && !last.finished && last.prompt === letter.message.trim()));
  const count = turns.length + waiting.length;
  const before = useRef(waiting.length);
  useEffect(() => {
    // A prompt that was written goes into view; one that was delivered moves nobody.
    if (waiting.length > before.current) scroller.current?.toEnd();
    before.current = waiting.length;
  }, [waiting.length]);

  return (
    <div class="conversation-frame">
      <div class="conversation" ref={box} tabIndex={0} role="log" aria-live="off" aria-label={t("conversation")} onClick={clicked}>
        <div class="turns">
          {conversation.hasEarlier.value && (
            <button type="button" class="button plain earlier" onClick={() => scroller.current && void earlier(conversation, scroller.current)}>
              {t(conversation.loadingEarlier.value ? "loading" : "loadEarlier")}
            </button>
          )}
          {count === 0 && <p class="quiet pad centred">{t("emptyTitle")}</p>}
          {turns.map(row)}
          {waiting.map((letter) => (
            <LetterView key={letter.key} letter={letter} />
          ))}
        </div>
      </div>
      {away && (
        <button type="button" class="button to-latest" onClick={() => scroller.current?.toEnd()}>
          <Icon name="down" />
          {t("latest")}
        </button>
      )}
    </div>
  );
}

async function earlier(conversation: Conversation, scroller: Scroller): Promise<void> {
  if (!conversation.hasEarlier.value || conversation.loadingEarlier.value) return;
  const keep = scroller.anchor();
  await conversation.loadEarlier();
  requestAnimationFrame(keep);
}

/** Copy buttons and links to files are in text that is drawn without components; they act here. */
function clicked(event: MouseEvent): void {
  const target = event.target as HTMLElement;
  const copy = target.closest<HTMLElement>("[data-copy]");
  if (copy) {
    const code = copy.closest(".code")?.querySelector("code");
    void copyText(code?.textContent ?? "", copy);
  }
  const file = target.closest<HTMLElement>("[data-file]");
  if (file) {
    event.preventDefault();
    previewed.value = file.dataset.file ?? null;
  }
}
