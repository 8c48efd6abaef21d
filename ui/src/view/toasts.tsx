import { dismiss, toasts } from "../state/toasts";
import { t } from "../text";
import { Icon } from "./icons";

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((toast) => (
        <div key={toast.id} class={`toast ${toast.kind}`}>
          <span>{toast.text}</span>
          {toast.actions.map((action) => (
            <button key={action.label} type="button" class="link" aria-keyshortcuts={toast.countdown > 0 ? "Alt+Z" : undefined} onClick={action.run}>
              {action.label}
            </button>
          ))}
          {toast.countdown === 0 && (
            <button type="button" class="icon-button small" aria-label={t("close")} onClick={() => dismiss(toast.id)}>
              <Icon name="close" />
            </button>
          )}
          {toast.countdown > 0 && <span class="countdown" aria-hidden="true" />}
        </div>
      ))}
    </div>
  );
}
