import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { t } from "../text";
import { Icon } from "./icons";

/** A modal dialog: the browser keeps the focus in it and gives it back. */
export function Dialog(props: { label: string; wide?: boolean; close: () => void; head?: ComponentChildren; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    dialog.current?.showModal();
    return () => before?.focus?.();
  }, []);
  return (
    <dialog
      ref={dialog}
      class={props.wide ? "wide" : ""}
      aria-label={props.label}
      onCancel={(event) => {
        event.preventDefault();
        props.close();
      }}
      onClick={(event) => event.target === event.currentTarget && props.close()}
    >
      <div class="dialog-head">
        <h2>{props.label}</h2>
        {props.head}
        <button type="button" class="icon-button" aria-label={t("close")} onClick={props.close}>
          <Icon name="close" />
        </button>
      </div>
      <div class="dialog-body">{props.children}</div>
    </dialog>
  );
}
