import { useEffect, useRef, useState } from "preact/hooks";
import { describe } from "../state/app";
import { logIn, loginFailure } from "../state/login";
import { language, setLanguage, t } from "../text";

/** In place of everything else, while the server does not know who asks. */
export function Login() {
  const [token, setToken] = useState("");
  const [busy, setBusy] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.focus(), []);
  const failure = loginFailure.value;
  const submit = async (event: Event) => {
    event.preventDefault();
    if (!token.trim() || busy) return;
    setBusy(true);
    await logIn(token.trim());
    setBusy(false);
    input.current?.select();
  };
  return (
    <main class="login">
      <form onSubmit={(event) => void submit(event)}>
        <span class="brand">
          <span class="brand-mark" aria-hidden="true" />
          qchat
        </span>
        <h1>{t("loginTitle")}</h1>
        <p id="login-hint" class="quiet">
          {t("loginHint")}
        </p>
        <label for="token">{t("token")}</label>
        <input
          id="token"
          ref={input}
          type="password"
          autocomplete="current-password"
          spellcheck={false}
          aria-describedby="login-hint login-failure"
          aria-invalid={failure ? "true" : undefined}
          value={token}
          onInput={(event) => setToken(event.currentTarget.value)}
        />
        <p id="login-failure" class="login-failure" role="alert">
          {failure && (failure === "UNAUTHORIZED" ? t("loginWrong") : describe(failure, failure))}
        </p>
        <button type="submit" class="button primary" disabled={busy || !token.trim()}>
          {t("logIn")}
        </button>
        <button type="button" class="button plain" lang={language.value === "zh" ? "en" : "zh-CN"} aria-label={t("languageLabel")} onClick={() => setLanguage(language.value === "zh" ? "en" : "zh")}>
          {t("language")}
        </button>
      </form>
    </main>
  );
}
