import { useEffect, useState } from "preact/hooks";
import { connection, conversation, filesOpen, files, reconnect, sessions, sidebarOpen, status } from "../state/app";
import { t } from "../text";
import { dateTime, relative } from "../util/format";
import { Icon } from "./icons";

export function Header() {
  const open = conversation.value;
  const count = files.value?.list.value.length ?? 0;
  const title = open ? sessions.titleOf(open.id) || t("untitled") : t("newChat");
  return (
    <header class="header">
      <button type="button" class="icon-button only-narrow" aria-label={t("showSessions")} aria-expanded={sidebarOpen.value} onClick={() => (sidebarOpen.value = true)}>
        <Icon name="menu" />
      </button>
      <h1 class="title" title={title}>
        {title}
      </h1>
      {open && <Expiry />}
      <Connection />
      <button
        type="button"
        class={`icon-button ${filesOpen.value ? "pressed" : ""}`}
        aria-label={t(filesOpen.value ? "hideFiles" : "showFiles") + (count > 0 ? ` (${count})` : "")}
        title={t("files")}
        aria-expanded={filesOpen.value}
        onClick={() => (filesOpen.value = !filesOpen.value)}
      >
        <Icon name="files" />
        {count > 0 && <span class="badge" data-count={count} />}
      </button>
    </header>
  );
}

function Expiry() {
  const now = useNow(30_000);
  const info = conversation.value?.info.value;
  if (!info || info.expires_at === undefined) return null;
  if (info.pinned || info.expires_at === null) {
    return (
      <span class="chip quiet-chip" title={t("neverExpires")}>
        <Icon name="pin" />
        <span class="chip-text">{t("neverExpires")}</span>
      </span>
    );
  }
  const soon = info.expires_at - now / 1000 < 600;
  return (
    <span class={`chip quiet-chip ${soon ? "soon" : ""}`} title={`${dateTime(info.expires_at)}. ${t("expiresHint")}`}>
      <Icon name="clock" />
      <span class="chip-short">{relative(info.expires_at, now / 1000, "narrow")}</span>
      <span class="chip-text">{t("expires", { when: relative(info.expires_at, now / 1000) })}</span>
    </span>
  );
}

function Connection() {
  const state = status.value;
  const now = useNow(state === "waiting" ? 1_000 : 60_000);
  const left = Math.max(0, Math.ceil((connection.value.retryAt - now) / 1000));
  const text = t(state === "gone" || state === "reset" ? "live" : state, { n: left });
  const troubled = state === "waiting" || state === "offline" || state === "denied";
  return (
    <span class={`chip connection ${state}`} role="status" title={state === "denied" ? t("denied_hint") : text}>
      <span class="lamp" aria-hidden="true" />
      {/* The seconds count down for eyes; ears are told once. */}
      <span class="chip-text" aria-hidden={state === "waiting" ? "true" : undefined}>{text}</span>
      {state === "waiting" && <span class="chip-short" aria-hidden="true">{t("disconnected")}</span>}
      {state === "waiting" && <span class="visually-hidden">{t("waiting", { n: "…" })}</span>}
      {troubled && (
        <button type="button" class="link" onClick={reconnect}>
          {t("reconnect")}
        </button>
      )}
    </span>
  );
}

export function useNow(every: number): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}
