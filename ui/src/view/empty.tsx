import { send, starting } from "../state/app";
import { t } from "../text";
import { agentName } from "./facts";

export function Empty() {
  const { demo } = agentName();
  return (
    <div class="empty">
      <div class="empty-inner">
        <span class="empty-mark" aria-hidden="true" />
        <h2>{t("emptyTitle")}</h2>
        <p>{t("emptyHint")}</p>
        {demo && <p class="demo-note">{t("demoHint")}</p>}
        <ul class="examples">
          {(["example1", "example2", "example3"] as const).map((key) => (
            <li key={key}>
              <button type="button" disabled={starting.value} onClick={() => void send(t(key))}>
                {t(key)}
              </button>
            </li>
          ))}
        </ul>
      </div>
    </div>
  );
}
