import { useLayoutEffect, useRef } from "preact/hooks";
import type { Conversation } from "../chat/conversation";
import { announce } from "../state/announce";
import { send, starting, stop } from "../state/app";
import { draftOf, setDraft } from "../state/draft";
import { t } from "../text";
import { uploadFiles } from "./uploads";
import { Icon } from "./icons";

const MAX_CHARS = 100_000;

export function Composer({ conversation }: { conversation: Conversation | null }) {
  const area = useRef<HTMLTextAreaElement>(null);
  const session = conversation?.id ?? "";
  const text = draftOf(session);
  const running = conversation?.turns.value.find((turn) => !turn.finished);
  const excess = [...text.trim()].length - MAX_CHARS;
  const ready = text.trim() !== "" && excess <= 0 && conversation?.state.value !== "gone" && !starting.value;
  useLayoutEffect(() => fit(area.current), [text]);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(() => fit(area.current));
    observer.observe(area.current?.form as HTMLElement);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => {
    // On a phone the keyboard would cover what one came to read.
    if (!matchMedia("(pointer: coarse)").matches) area.current?.focus({ preventScroll: true });
  }, []);

  const submit = () => {
    if (!ready) return;
    setDraft(session, "");
    announce(t("answering"));
    void send(text.trim());
    area.current?.focus();
  };

  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <div class="composer-box">
        <textarea
          id="prompt"
          ref={area}
          rows={1}
          aria-label={t("prompt")}
          aria-describedby="prompt-hint"
          placeholder={t("promptPlaceholder")}
          value={text}
          onInput={(event) => setDraft(session, event.currentTarget.value)}
          onPaste={(event) => pasted(event)}
          onKeyDown={(event) => {
            // While an input method composes, Enter chooses a word.
            if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
            event.preventDefault();
            submit();
          }}
        />
        <div class="composer-buttons">
          <AttachButton />
          {running && (
            <button type="button" class="button stop" disabled={running.stopping.value} onClick={() => void stop(running)}>
              <Icon name="stop" />
              {t(running.stopping.value ? "stopping" : "stop")}
            </button>
          )}
          <button type="submit" class="button primary send" disabled={!ready} aria-label={t(running ? "queue" : "send")} title={t(running ? "queue" : "send")}>
            <Icon name="send" />
          </button>
        </div>
      </div>
      <p id="prompt-hint" class="composer-hint">
        {excess > 0 ? <strong class="bad">{t("tooLong", { n: excess })}</strong> : t("hintKeys")}
      </p>
    </form>
  );
}

function AttachButton() {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <button type="button" class="icon-button" aria-label={t("upload")} title={t("upload")} onClick={() => input.current?.click()}>
        <Icon name="upload" />
      </button>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        aria-hidden="true"
        onChange={(event) => {
          void uploadFiles([...(event.currentTarget.files ?? [])].map((file) => ({ file, path: file.name })));
          event.currentTarget.value = "";
        }}
      />
    </>
  );
}

function pasted(event: ClipboardEvent): void {
  const found = [...(event.clipboardData?.files ?? [])];
  if (found.length === 0) return;
  event.preventDefault();
  void uploadFiles(found.map((file) => ({ file, path: file.name })));
}

function fit(area: HTMLTextAreaElement | null): void {
  if (!area) return;
  area.style.height = "auto";
  area.style.height = `${Math.min(area.scrollHeight, innerHeight * 0.4)}px`;
}
