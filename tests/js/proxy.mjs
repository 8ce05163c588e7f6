// A proxy that writes down what is asked and cuts the TCP connections it carries, in the middle of what they say.

import { once } from "node:events";
import http from "node:http";
import net from "node:net";

/**
 * Listen before the server at `target`. `requests` are the heads of all requests, `cut()` breaks what is open now, and
 * an answer to one of the next `proxy.cuts` event streams or sockets breaks after `proxy.after` bytes.
 */
export async function proxied(target) {
  const { hostname, port } = new URL(target);
  const open = new Set();
  const proxy = { requests: [], cuts: 0, after: 0, broken: 0 };

  const remembered = (request) => {
    proxy.requests.push({ method: request.method, url: request.url, headers: request.headers });
  };
  /** Pass on what `from` says; when this answer is one to break, only its first bytes. */
  const passing = (from, to, socket) => {
    if (proxy.cuts <= 0) return from.pipe(to);
    proxy.cuts -= 1;
    let left = proxy.after;
    from.on("end", () => to.end());
    from.on("data", (bytes) => {
      if (left <= 0) return;
      const passed = bytes.subarray(0, left);
      left -= passed.length;
      if (left > 0) return to.write(passed);
      proxy.broken += 1;
      to.write(passed, () => socket.destroy());
    });
  };

  const server = http.createServer((request, response) => {
    remembered(request);
    const options = { hostname, port, path: request.url, method: request.method, headers: request.headers };
    const passed = http.request(options, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      response.flushHeaders();
      const breaks = answer.headers["content-type"]?.startsWith("text/event-stream");
      if (breaks) passing(answer, response, request.socket);
      else answer.pipe(response);
    });
    passed.on("error", () => request.socket.destroy());
    response.on("close", () => passed.destroy());
    request.pipe(passed);
  });
  server.on("connection", (socket) => {
    open.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => open.delete(socket));
  });
  server.on("upgrade", (request, socket, head) => {
    remembered(request);
    const passed = net.connect(Number(port), hostname, () => {
      const lines = [`${request.method} ${request.url} HTTP/1.1`];
      for (let n = 0; n < request.rawHeaders.length; n += 2) {
        lines.push(`${request.rawHeaders[n]}: ${request.rawHeaders[n + 1]}`);
      }
      passed.write(`${lines.join("\r\n")}\r\n\r\n`);
      passed.write(head);
      socket.pipe(passed);
      passing(passed, socket, socket);
    });
    passed.on("error", () => socket.destroy());
    socket.on("close", () => passed.destroy());
    passed.on("close", () => socket.destroy());
  });

  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  proxy.url = `http://127.0.0.1:${server.address().port}`;
  proxy.cut = () => open.forEach((socket) => socket.resetAndDestroy());
  proxy.close = () => {
    proxy.cut();
    server.close();
  };
  return proxy;
}
