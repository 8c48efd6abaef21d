import { useEffect, useState } from "preact/hooks";
import { t } from "../text";
import { Icon } from "./icons";
import { dropped, uploadFiles } from "./uploads";

/** Files may be dropped anywhere: a browser opens those that miss a target, and is gone from the page. */
export function DropTarget() {
  const [over, setOver] = useState(false);
  useEffect(() => {
    const listening = new AbortController();
    // Every element that the pointer passes is entered before the one before is left.
    let entered = 0;
    const on = (type: "dragenter" | "dragover" | "dragleave" | "drop", act: (data: DataTransfer) => void) =>
      addEventListener(
        type,
        (event) => {
          if (!event.dataTransfer?.types.includes("Files")) return;
          event.preventDefault();
          act(event.dataTransfer);
          setOver(entered > 0);
        },
        { signal: listening.signal },
      );
    on("dragenter", () => entered++);
    on("dragover", () => {});
    on("dragleave", () => (entered = Math.max(0, entered - 1)));
    on("drop", (data) => {
      entered = 0;
      void dropped(data).then(uploadFiles);
    });
    return () => listening.abort();
  }, []);
  if (!over) return null;
  return (
    <div class="drop-hint" aria-hidden="true">
      <Icon name="upload" />
      {t("uploadHere")}
    </div>
  );
}
