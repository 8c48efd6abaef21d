// The keys that work everywhere. They take a modifier, so that nobody's typing or screen reader is in the way.

import { conversation, filesOpen, helpOpen, newChat, previewed, sidebarOpen, stop } from "../state/app";
import { undoLast } from "../state/toasts";

export const KEYS: [string, "help_send" | "help_line" | "help_search" | "help_new" | "help_stop" | "help_files" | "help_prompt" | "help_undo" | "help_help"][] = [
  ["Enter", "help_send"],
  ["Shift+Enter", "help_line"],
  ["Ctrl+K", "help_search"],
  ["Alt+N", "help_new"],
  ["Alt+S", "help_stop"],
  ["Alt+F", "help_files"],
  ["Alt+M", "help_prompt"],
  ["Alt+Z", "help_undo"],
  ["Alt+H", "help_help"],
];

export function shortcuts(event: KeyboardEvent): void {
  const control = (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey;
  const alt = event.altKey && !event.ctrlKey && !event.metaKey;
  if (event.key === "Escape" && !event.defaultPrevented && !event.isComposing) return closeTopmost();
  const action = control ? CONTROL[event.code] : alt ? ALT[event.code] : undefined;
  if (!action) return;
  event.preventDefault();
  action();
}

const CONTROL: Record<string, () => void> = {
  KeyK: () => {
    sidebarOpen.value = true;
    requestAnimationFrame(() => document.getElementById("search")?.focus());
  },
};

const ALT: Record<string, () => void> = {
  KeyN: newChat,
  KeyF: () => (filesOpen.value = !filesOpen.value),
  KeyM: () => document.getElementById("prompt")?.focus(),
  KeyZ: undoLast,
  KeyH: () => (helpOpen.value = !helpOpen.value),
  KeyS: () => {
    const running = conversation.value?.turns.value.find((turn) => !turn.finished);
    if (running) void stop(running);
  },
};

function closeTopmost(): void {
  if (helpOpen.value) helpOpen.value = false;
  else if (previewed.value) previewed.value = null;
  else if (sidebarOpen.value) sidebarOpen.value = false;
}
