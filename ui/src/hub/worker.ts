// The hub as a shared worker: one for all tabs, alive as long as any of them.

import { Hub, type Port } from "./hub";
import { onceReleased } from "./lock";
import type { ToHub } from "./protocol";

const scope = self as unknown as { onconnect: (event: MessageEvent) => void };
const hub = new Hub();

scope.onconnect = (event) => {
  const channel = event.ports[0];
  if (!channel) return;
  const port: Port = { post: (message) => channel.postMessage(message) };
  channel.onmessage = ({ data }: MessageEvent<ToHub>) => {
    hub.receive(port, data);
    if (data.type === "hello") void onceReleased(data.lock).then(() => hub.remove(port));
  };
};
