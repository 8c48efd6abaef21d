import { useState } from "preact/hooks";
import { health, helpOpen } from "../state/app";
import { logOut, who } from "../state/login";
import { language, maybe, setLanguage, t } from "../text";
import { Icon } from "./icons";

type Theme = "auto" | "light" | "dark";
const THEMES: Theme[] = ["auto", "light", "dark"];

/** Who answers here, and behind which walls. */
export function Facts() {
  return (
    <div class="facts">
      <AgentFact />
      <IsolationFact />
      <div class="facts-row">
        <button type="button" class="button plain" lang={language.value === "zh" ? "en" : "zh-CN"} aria-label={t("languageLabel")} onClick={() => setLanguage(language.value === "zh" ? "en" : "zh")}>
          {t("language")}
        </button>
        {who.value?.via === "cookie" && (
          <button type="button" class="icon-button log-out" aria-label={t("logOut")} title={`${t("logOut")} ${who.value.principal}`.trim()} onClick={() => void logOut()}>
            <Icon name="leave" />
          </button>
        )}
        <ThemeButton />
        <button type="button" class="icon-button" aria-label={t("help")} title={t("help")} onClick={() => (helpOpen.value = true)}>
          <Icon name="help" />
        </button>
      </div>
    </div>
  );
}

export function agentName(): { name: string; demo: boolean } {
  const agent = health.value?.agent;
  const name = typeof agent === "string" ? agent : (agent?.name ?? "");
  const demo = name === "local" || (typeof agent === "object" && agent.demo === true);
  const names: Record<string, string> = { q: "Amazon Q CLI", kiro: "Kiro CLI", "kiro-cli": "Kiro CLI" };
  return { name: names[name] ?? name, demo };
}

function AgentFact() {
  if (!health.value) return null;
  const { name, demo } = agentName();
  if (demo) {
    return (
      <p class="fact demo" title={t("demoHint")}>
        <Icon name="alert" />
        {t("demo")}
        <span class="visually-hidden">{t("demoHint")}</span>
      </p>
    );
  }
  const available = health.value.qcli_available;
  return (
    <p class={`fact ${available ? "" : "bad"}`}>
      <Icon name={available ? "tool" : "alert"} />
      {available ? name || t("agent") : t("agentNone")}
    </p>
  );
}

function IsolationFact() {
  const found = health.value?.isolation;
  const level = (typeof found === "string" ? found : found?.level) || "unknown";
  if (!health.value) return null;
  const text = maybe(`level_${level}`) ?? level;
  const hint = maybe(`isolation_${level}`) ?? level;
  return (
    <p class={`fact level-${level}`} title={hint}>
      <Icon name="shield" />
      {text}
      <span class="visually-hidden">{hint}</span>
    </p>
  );
}

function ThemeButton() {
  const [theme, setTheme] = useState<Theme>(() => storedTheme());
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] as Theme;
  const apply = () => {
    setTheme(next);
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem("qchat.theme", next);
    } catch {
      // Then it lasts as long as the page.
    }
  };
  return (
    <button type="button" class="icon-button" aria-label={`${t("theme")}: ${t(`theme_${theme}`)}`} title={t(`theme_${theme}`)} onClick={apply}>
      <Icon name="theme" />
    </button>
  );
}

function storedTheme(): Theme {
  const found = document.documentElement.dataset.theme ?? "auto";
  return THEMES.includes(found as Theme) ? (found as Theme) : "auto";
}
