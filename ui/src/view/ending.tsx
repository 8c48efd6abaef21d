import type { Conversation } from "../chat/conversation";
import type { Turn } from "../chat/turn";
import { describe, ranAgain, runAgain } from "../state/app";
import { maybe, t } from "../text";
import { Icon } from "./icons";

/** How a turn ended, when that is not simply with an answer. */
export function EndingView({ turn, conversation }: { turn: Turn; conversation: Conversation }) {
  const ending = turn.ending.value;
  if (!ending) return null;
  const state = turn.state.value;
  if (state === "cancelled") return <p class="ended">{t("cancelled")}</p>;
  if (!ending.code) return turn.empty && turn.streamed ? <p class="ended">{t("noAnswer")}</p> : null;
  const advice = maybe(`do_${ending.code}`);
  const steps = advice ? [advice] : (ending.suggestions ?? []);
  return (
    <section class={`problem ${state}`} aria-label={maybe(`reason_${state}`) ?? ending.code}>
      <h4>
        <Icon name="alert" />
        {maybe(`reason_${state}`) ?? ending.code}
      </h4>
      <p>{describe(ending.code, ending.error ?? "")}</p>
      {steps.length > 0 && (
        <p class="advice">
          <strong>{t("whatToDo")}: </strong>
          {steps.join(" · ")}
        </p>
      )}
      {ending.details && (
        <details>
          <summary>{t("details")}</summary>
          <pre tabIndex={0}>{ending.details}</pre>
        </details>
      )}
      {ranAgain(conversation, turn) ? (
        <p class="quiet">{t("ranAgain")}</p>
      ) : (
        <button type="button" class="button" title={t("retryHint")} onClick={() => runAgain(turn)}>
          <Icon name="refresh" />
          {t("retry")}
        </button>
      )}
    </section>
  );
}
