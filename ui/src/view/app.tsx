import { useEffect } from "preact/hooks";
import { announcement } from "../state/announce";
import { conversation, files, filesOpen, helpOpen, previewed, sessions, sidebarOpen } from "../state/app";
import { loginWanted } from "../state/login";
import { t } from "../text";
import { Composer } from "./composer";
import { ConversationView } from "./conversation";
import { DropTarget } from "./drop";
import { Empty } from "./empty";
import { FilesPanel } from "./files-panel";
import { Header } from "./header";
import { Help } from "./help";
import { shortcuts } from "./keys";
import { Login } from "./login";
import { Preview } from "./preview";
import { Sidebar } from "./sidebar";
import { Toasts } from "./toasts";

export function App() {
  useEffect(() => {
    addEventListener("keydown", shortcuts);
    return () => removeEventListener("keydown", shortcuts);
  }, []);
  const open = conversation.value;
  const title = open ? sessions.titleOf(open.id) : "";
  useEffect(() => {
    document.title = title ? `${title} · qchat` : "qchat";
  }, [title]);
  if (loginWanted.value) return <Login />;
  return (
    <div class={`layout ${sidebarOpen.value ? "with-sidebar" : ""} ${filesOpen.value ? "with-files" : ""}`}>
      <a class="skip" href="#prompt" onClick={goToPrompt}>
        {t("skipToPrompt")}
      </a>
      <Sidebar />
      <main class="main">
        <Header />
        {open ? <ConversationView key={open.id} conversation={open} /> : <Empty />}
        <Composer key={open?.id ?? ""} conversation={open} />
      </main>
      {filesOpen.value && <FilesPanel key={files.value?.session ?? ""} files={files.value} />}
      {(sidebarOpen.value || filesOpen.value) && <div class="scrim" onClick={closePanels} />}
      {previewed.value && files.value && <Preview key={previewed.value} files={files.value} path={previewed.value} />}
      {helpOpen.value && <Help />}
      <DropTarget />
      <Toasts />
      <div class="visually-hidden" role="status" aria-live="polite">
        {announcement.value}
      </div>
    </div>
  );
}

function goToPrompt(event: Event): void {
  event.preventDefault();
  document.getElementById("prompt")?.focus();
}

function closePanels(): void {
  sidebarOpen.value = false;
  if (!matchMedia("(min-width: 1100px)").matches) filesOpen.value = false;
}
