import { render } from "preact";
import { start } from "./state/app";
import { language, setLanguage } from "./text";
import { App } from "./view/app";

setLanguage(language.value);
const root = document.getElementById("app") as HTMLElement;
root.replaceChildren();
render(<App />, root);
void start();
