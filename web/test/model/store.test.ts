import { createHash } from "node:crypto";

import { describe, expect, test } from "vitest";

import { ModelStore, type Shelf } from "../../src/model/store";

const BYTES = new TextEncoder().encode("the weights of a model");
const FILE = { url: `/models/${createHash("sha256").update(BYTES).digest("hex")}`, nbytes: BYTES.length };

class MapShelf implements Shelf {
  readonly kept = new Map<string, Uint8Array<ArrayBuffer>>();
  full = false;

  match(url: string): Promise<Response | undefined> {
    const bytes = this.kept.get(url);
    return Promise.resolve(bytes === undefined ? undefined : new Response(bytes));
  }

  async put(url: string, response: Response): Promise<void> {
    if (this.full) throw new DOMException("no room", "QuotaExceededError");
    this.kept.set(url, new Uint8Array(await response.arrayBuffer()));
  }

  delete(url: string): Promise<boolean> {
    return Promise.resolve(this.kept.delete(url));
  }
}

describe("the store", () => {
  test("gives back what was put in", async () => {
    const store = new ModelStore(new MapShelf());
    expect(await store.take(FILE)).toBeUndefined();
    await store.put(FILE, BYTES);
    expect(await store.take(FILE)).toEqual(BYTES);
  });

  test.each(["the weights of a modem", "the weights of a mode", ""])("throws away %j, which is not the file", async (wrong) => {
    const shelf = new MapShelf();
    shelf.kept.set(FILE.url, new TextEncoder().encode(wrong));
    expect(await new ModelStore(shelf).take(FILE)).toBeUndefined();
    expect(shelf.kept.size).toBe(0);
  });

  test("keeps nothing that is not what its name says", async () => {
    const shelf = new MapShelf();
    await new ModelStore(shelf).put(FILE, new Uint8Array(FILE.nbytes));
    await new ModelStore(shelf).put({ url: "/models/latest", nbytes: FILE.nbytes }, BYTES);
    expect(shelf.kept.size).toBe(0);
  });

  test("without room is as good as none", async () => {
    const shelf = new MapShelf();
    shelf.full = true;
    const store = new ModelStore(shelf);
    await store.put(FILE, BYTES);
    expect(await store.take(FILE)).toBeUndefined();
  });
});
