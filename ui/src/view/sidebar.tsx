import { useRef, useState } from "preact/hooks";
import { isFinished, type SessionInfo } from "../api/types";
import { addressOf, changed, conversation, newChat, removeSession, sessions, sidebarOpen } from "../state/app";
import { t } from "../text";
import { dateTime, dayOf } from "../util/format";
import { Icon } from "./icons";
import { Facts } from "./facts";
import { focusNeighbour } from "./focus";
import { Menu } from "./menu";

const STEP = 60;

export function Sidebar() {
  const [most, setMost] = useState(STEP);
  const shown = sessions.shown.value;
  const rows = shown.slice(0, most);
  return (
    <nav class="sidebar" aria-label={t("sessions")}>
      <div class="sidebar-head">
        <span class="brand">
          <span class="brand-mark" aria-hidden="true" />
          qchat
        </span>
        <button type="button" class="icon-button only-narrow" aria-label={t("close")} onClick={() => (sidebarOpen.value = false)}>
          <Icon name="close" />
        </button>
      </div>
      <button type="button" class="button primary new-chat" onClick={newChat}>
        <Icon name="plus" />
        {t("newChat")}
      </button>
      <div class="search">
        <Icon name="search" />
        <input
          id="search"
          type="search"
          autocomplete="off"
          placeholder={t("searchSessions")}
          aria-label={t("searchSessions")}
          value={sessions.search.value}
          onFocus={() => void sessions.readAll().catch(() => {})}
          onInput={(event) => (sessions.search.value = event.currentTarget.value)}
        />
      </div>
      <div class="session-list" onKeyDown={moveFocus}>
        <Rows rows={rows} />
        {sessions.loaded.value && rows.length === 0 && (
          <p class="quiet pad">{t(sessions.search.value ? "noMatch" : "noSessions")}</p>
        )}
        {(shown.length > most || sessions.next.value) && (
          <button type="button" class="button plain more" onClick={() => more(setMost, most)}>
            {t("more")}
          </button>
        )}
      </div>
      <Facts />
    </nav>
  );
}

function more(setMost: (most: number) => void, most: number): void {
  setMost(most + STEP);
  void sessions.more().catch(() => {});
}

function Rows({ rows }: { rows: SessionInfo[] }) {
  const groups = new Map<string, SessionInfo[]>();
  for (const session of rows) {
    const name = session.pinned ? "pinned" : dayOf(session.last_activity);
    groups.set(name, [...(groups.get(name) ?? []), session]);
  }
  return (
    <>
      {[...groups].map(([name, members]) => (
        <section key={name} aria-label={t(name as "today")}>
          <h2 class="group">{t(name as "today")}</h2>
          <ul>
            {members.map((session) => (
              <Row key={session.session_id} session={session} />
            ))}
          </ul>
        </section>
      ))}
    </>
  );
}

function Row({ session }: { session: SessionInfo }) {
  const [renaming, setRenaming] = useState(false);
  const id = session.session_id;
  const name = sessions.title(session) || t("untitled");
  const current = conversation.value?.id === id;
  const running = !!session.last_turn && !isFinished(session.last_turn.state);
  const unread = !current && sessions.isUnread(session);
  if (renaming) return <RenameRow id={id} name={name} end={() => setRenaming(false)} />;
  return (
    <li class={`session ${current ? "current" : ""} ${unread ? "unread" : ""}`}>
      <a
        href={addressOf(id)}
        aria-current={current ? "page" : undefined}
        title={`${name}\n${dateTime(session.last_activity)}`}
        onClick={() => (sidebarOpen.value = false)}
        onDblClick={() => setRenaming(true)}
        onKeyDown={(event) => {
          if (event.key === "F2") setRenaming(true);
          if (event.key === "Delete") leave(id);
        }}
      >
        <span class="session-name">{name}</span>
        {running && <span class="dot running" role="img" aria-label={t("running")} />}
        {unread && <span class="dot" role="img" aria-label={t("unread")} />}
      </a>
      <Menu
        label={t("actionsFor", { name })}
        items={[
          { icon: "pencil", label: t("rename"), run: () => setRenaming(true) },
          {
            icon: "pin",
            label: t(session.pinned ? "unpin" : "pin"),
            run: () => void changed(sessions.pin(id, !session.pinned)),
          },
          { icon: "trash", label: t("remove"), danger: true, run: () => leave(id) },
        ]}
      />
    </li>
  );
}

function linkTo(id: string): HTMLElement | null {
  return document.querySelector(`.session a[href="${addressOf(id)}"]`);
}

function leave(id: string): void {
  focusNeighbour(document.querySelectorAll<HTMLElement>(".session > a"), linkTo(id));
  removeSession(id);
}

function RenameRow({ id, name, end }: { id: string; name: string; end: () => void }) {
  const done = useRef(false);
  const finish = (title: string | null) => {
    if (done.current) return;
    done.current = true;
    if (title?.trim() && title.trim() !== name) void changed(sessions.rename(id, title));
    end();
    requestAnimationFrame(() => linkTo(id)?.focus());
  };
  return (
    <li class="session renaming">
      <input
        aria-label={t("renameSession")}
        maxLength={200}
        ref={(input) => {
          if (input && !done.current && document.activeElement !== input) {
            input.focus();
            input.select();
          }
        }}
        defaultValue={name}
        onBlur={(event) => finish(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.isComposing) return;
          if (event.key === "Enter") finish(event.currentTarget.value);
          if (event.key === "Escape") {
            event.preventDefault();
            finish(null);
          }
        }}
      />
    </li>
  );
}

function moveFocus(event: KeyboardEvent): void {
  const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
  const list = event.currentTarget as HTMLElement;
  const links = [...list.querySelectorAll<HTMLElement>(".session > a")];
  const index = links.indexOf(document.activeElement as HTMLElement);
  if (!step || index < 0) return;
  event.preventDefault();
  links[index + step]?.focus();
}
