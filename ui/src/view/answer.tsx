import { useEffect, useRef } from "preact/hooks";
import type { AnswerText } from "../chat/answer-text";
import { showPictures } from "../markdown/pictures";
import { AnswerWriter } from "../markdown/writer";

/** A piece of an answer; drawn by a writer, not by components, for it may be a megabyte and grow. */
export function AnswerView({ text, session, grew }: { text: AnswerText; session: string; grew: () => void }) {
  const root = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = root.current as HTMLElement;
    const writer = new AnswerWriter(element, text, () => {
      if (text.ended) showPictures(element, session);
      grew();
    });
    return () => {
      writer.stop();
      element.replaceChildren();
    };
  }, [text]);
  return <div class="answer" ref={root} dir="auto" />;
}
