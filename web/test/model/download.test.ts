import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { CodedError } from "../../src/wire/errors";
import { ProgressThrottle, fetchModel } from "../../src/model/download";

describe("progress", () => {
  const collect = (total: number) => {
    const reports: number[] = [];
    return { reports, progress: new ProgressThrottle(total, (done) => reports.push(done)) };
  };

  test("many small chunks make at most one report for each 1 %, and the last is the whole", () => {
    const { reports, progress } = collect(100_000);
    for (let i = 0; i < 10_000; i++) progress.add(10, 0);
    expect(reports.length).toBeLessThanOrEqual(101);
    expect(reports.length).toBeGreaterThan(90);
    expect(reports.at(-1)).toBe(100_000);
  });

  test("a slow file is reported every 100 ms, however little came", () => {
    const { reports, progress } = collect(1e9);
    for (let now = 0; now <= 1000; now += 10) progress.add(1, now);
    expect(reports.length).toBe(11);
  });

  test("the first report is at the beginning", () => {
    const { reports, progress } = collect(100);
    progress.add(0, 0);
    expect(reports).toEqual([0]);
  });
});

describe("a model", () => {
  let server: Server;
  let answer: (request: IncomingMessage, response: ServerResponse) => void;
  let url: string;
  const none = () => undefined;

  beforeEach(async () => {
    server = createServer((request, response) => answer(request, response));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });

  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  const failure = async (nbytes: number) => {
    const error: unknown = await fetchModel({ url: `${url}/m`, nbytes }, [], "key", none).then(none, (thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CodedError);
    return error as CodedError;
  };

  test("is fetched with its external data, against the access key, telling progress over all of it", async () => {
    const asked: (string | undefined)[] = [];
    answer = (request, response) => {
      asked.push(request.headers.authorization);
      response.end(request.url === "/m" ? "model" : "weights");
    };
    const reports: [number, number][] = [];
    const external = [{ path: "m.data", url: `${url}/w`, nbytes: 7 }];
    const fetched = await fetchModel({ url: `${url}/m`, nbytes: 5 }, external, "key", (done, total) =>
      reports.push([done, total]),
    );
    expect(Buffer.from(fetched.model).toString()).toBe("model");
    expect(fetched.external.map(({ path, data }) => [path, Buffer.from(data).toString()])).toEqual([["m.data", "weights"]]);
    expect(fetched.nbytes).toBe(12);
    expect(asked).toEqual(["Bearer key", "Bearer key"]);
    expect(reports[0]).toEqual([0, 12]);
    expect(reports.at(-1)).toEqual([12, 12]);
  });

  test.each([9, 2 ** 28])("that is shorter than the %d bytes announced is refused", async (nbytes) => {
    answer = (_, response) => void response.end("abc");
    expect(await failure(nbytes)).toMatchObject({
      code: "model.fetch",
      message: expect.stringContaining(`3 of ${nbytes} bytes`) as string,
    });
  });

  test("beyond 128 MiB tells its progress while it comes", async () => {
    const nbytes = 2 ** 27 + 1;
    let more: () => void = none;
    answer = (_, response) => {
      more = () => response.end(Buffer.alloc(nbytes - 2 ** 22));
      response.write(Buffer.alloc(2 ** 22));
    };
    const reports: number[] = [];
    await fetchModel({ url: `${url}/m`, nbytes }, [], "key", (done) => {
      if (reports.push(done) === 2) more(); // the rest comes only when some of it was told
    });
    expect(reports[1]).toBeLessThan(nbytes);
    expect(reports.at(-1)).toBe(nbytes);
  });

  test("that is longer than announced is refused", async () => {
    answer = (_, response) => void response.end("abcdef");
    expect(await failure(3)).toMatchObject({
      code: "model.fetch",
      message: expect.stringContaining("longer than the 3 bytes") as string,
    });
  });

  test("that the host refuses names the file and the status", async () => {
    answer = (_, response) => void response.writeHead(403).end();
    expect(await failure(3)).toMatchObject({ code: "model.fetch", data: { url: `${url}/m`, status: 403 } });
  });

  test("whose connection breaks is an error of fetching, not of ours", async () => {
    answer = (_, response) => {
      response.writeHead(200, { "Content-Length": "10" });
      response.write("abc", () => response.destroy());
    };
    expect(await failure(10)).toMatchObject({ code: "model.fetch" });
  });

  test("too large for memory says so", async () => {
    answer = (_, response) => void response.end("abc");
    expect(await failure(2 ** 52)).toMatchObject({ code: "backend.memory" });
  });

  test("is abandoned when one of its files fails", async () => {
    const cut = new Promise<void>((resolve) => {
      answer = (request, response) => {
        if (request.url === "/bad") return void response.writeHead(404).end();
        response.write("a");
        response.on("close", resolve);
      };
    });
    const external = [{ path: "bad", url: `${url}/bad`, nbytes: 1 }];
    await expect(fetchModel({ url: `${url}/m`, nbytes: 1e6 }, external, "key", none)).rejects.toMatchObject({
      data: { status: 404 },
    });
    await cut;
  });
});
