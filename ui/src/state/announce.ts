// What screen readers are told: whole sentences at ends and beginnings, never every token.

import { signal } from "@preact/signals";

export const announcement = signal("");

export function announce(text: string): void {
  // The same text twice is a change, too.
  announcement.value = announcement.value === text ? `${text}\u00a0` : text;
}
