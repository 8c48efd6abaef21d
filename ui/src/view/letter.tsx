import type { Letter } from "../chat/outbox";
import { describe, outbox } from "../state/app";
import { setDraft } from "../state/draft";
import { t } from "../text";
import { Icon } from "./icons";

/** A prompt that the server has not taken yet. */
export function LetterView({ letter }: { letter: Letter }) {
  const { state, failure } = letter;
  const stuck = state === "refused" || state === "stale";
  return (
    <article class={`turn letter ${state}`}>
      <div class="prompt">
        <div class="prompt-text">{letter.message}</div>
      </div>
      <div class="reply">
        {stuck ? (
          <section class="problem" role="alert">
            <h4>
              <Icon name="alert" />
              {t(state === "stale" ? "sendStale" : "refused")}
            </h4>
            {failure && <p>{[describe(failure.code, failure.message), failure.details].filter(Boolean).join(" ")}</p>}
            <div class="buttons">
              <button type="button" class="button" onClick={() => outbox.again(letter.key)}>
                {t(state === "stale" ? "sendNow" : "tryAgain")}
              </button>
              <button type="button" class="button plain" onClick={() => edit(letter)}>
                {t("edit")}
              </button>
              <button type="button" class="button plain" onClick={() => outbox.discard(letter.key)}>
                {t("discard")}
              </button>
            </div>
          </section>
        ) : (
          <div class="working">
            <span class="dot waiting" aria-hidden="true" />
            <span>
              {t(state === "waiting" ? "sendWaiting" : "sending")}{" "}
              {state === "waiting" && (
                <button type="button" class="link" onClick={() => edit(letter)}>
                  {t("edit")}
                </button>
              )}
            </span>
          </div>
        )}
      </div>
    </article>
  );
}

function edit(letter: Letter): void {
  outbox.discard(letter.key);
  setDraft(letter.session, letter.message);
}
