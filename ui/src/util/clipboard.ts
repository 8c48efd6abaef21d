import { t } from "../text";
import { toast } from "../state/toasts";

/** Copy, and say so on the button. Pages that came over plain HTTP have no clipboard, but a selection. */
export async function copyText(text: string, button: HTMLElement): Promise<void> {
  const copied = (await modern(text)) || byHand(text);
  if (!copied) {
    toast(t("copyFailed"), { kind: "problem" });
    return;
  }
  const label = button.textContent;
  button.textContent = t("copied");
  setTimeout(() => (button.textContent = label), 1500);
}

async function modern(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

function byHand(text: string): boolean {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}
