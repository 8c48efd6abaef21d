// Short messages at the edge of the page, and what waits for a change of mind.

import { signal } from "@preact/signals";

export interface Toast {
  id: number;
  text: string;
  kind: "plain" | "problem";
  actions: { label: string; run: () => void }[];
  /** Seconds until it goes, for one that shows them. */
  countdown: number;
}

export const toasts = signal<Toast[]>([]);
let next = 1;
const UNDO_SECONDS = 8;

export function toast(text: string, options: Partial<Omit<Toast, "id" | "text">> & { seconds?: number } = {}): number {
  const { seconds = options.actions?.length ? 0 : 5, ...rest } = options;
  const id = next++;
  toasts.value = [...toasts.value, { id, text, kind: "plain", actions: [], countdown: 0, ...rest }];
  if (seconds > 0) setTimeout(() => dismiss(id), seconds * 1000);
  return id;
}

export function dismiss(id: number): void {
  toasts.value = toasts.value.filter((one) => one.id !== id);
}

/** Undo what was asked for last, while that is possible. */
export function undoLast(): void {
  toasts.value.findLast((one) => one.countdown > 0)?.actions[0]?.run();
}

/** Act in eight seconds, unless it is undone. A page that is closed before does not act. */
export function withUndo(text: string, undoLabel: string, act: () => void, undo: () => void): void {
  const timer = setTimeout(() => {
    dismiss(id);
    act();
  }, UNDO_SECONDS * 1000);
  const id = toast(text, {
    countdown: UNDO_SECONDS,
    actions: [
      {
        label: undoLabel,
        run: () => {
          clearTimeout(timer);
          dismiss(id);
          undo();
        },
      },
    ],
  });
}
