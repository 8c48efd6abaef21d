import { health, helpOpen } from "../state/app";
import { t } from "../text";
import { Dialog } from "./dialog";
import { KEYS } from "./keys";

export function Help() {
  return (
    <Dialog label={t("help")} close={() => (helpOpen.value = false)}>
      <dl class="keys">
        {KEYS.map(([key, meaning]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{t(meaning)}</dd>
          </div>
        ))}
      </dl>
      <p class="quiet">
        {t("about", { version: health.value?.version ?? "" })} · <a href="/ui/licences.txt">{t("licences")}</a>
      </p>
    </Dialog>
  );
}
