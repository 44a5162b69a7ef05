// Keeps model files in the browser's own storage, by the hash of their contents.

import type { FileSource } from "../wire/messages";

const NAME = "webinfer-models";
const HASH = /\/([0-9a-f]{64})$/; // a model file's URL ends with its SHA-256

/** The part of Cache Storage that is used. */
export interface Shelf {
  match(url: string): Promise<Response | undefined>;
  put(url: string, response: Response): Promise<void>;
  delete(url: string): Promise<boolean>;
}

/**
 * Model files that this browser fetched before.
 *
 * Nothing is taken out or put in that is not what its name says. A store that fails, or has no room, is as good as none:
 * the host has every file.
 */
export class ModelStore {
  constructor(private readonly shelf: Shelf) {}

  /** Open this browser's store, or `undefined` where it has none (a page in private mode, or without a secure context). */
  static async open(): Promise<ModelStore | undefined> {
    try {
      return new ModelStore(await caches.open(NAME));
    } catch {
      return undefined;
    }
  }

  /** Return a file's bytes if they are here and whole; what is here and is not that is thrown away. */
  async take(file: FileSource): Promise<Uint8Array | undefined> {
    try {
      const response = await this.shelf.match(file.url);
      if (response === undefined) return undefined;
      const bytes = new Uint8Array(await response.arrayBuffer());
      if (bytes.length === file.nbytes && (await isNamed(file.url, bytes))) return bytes;
      await this.shelf.delete(file.url);
    } catch {
      // as good as none
    }
    return undefined;
  }

  /** Keep a file, if its bytes are what its name says. */
  async put(file: FileSource, bytes: Uint8Array): Promise<void> {
    try {
      if (await isNamed(file.url, bytes)) await this.shelf.put(file.url, new Response(bytes as Uint8Array<ArrayBuffer>));
    } catch {
      // as good as none
    }
  }
}

async function isNamed(url: string, bytes: Uint8Array): Promise<boolean> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>));
  const hash = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return HASH.exec(url)?.[1] === hash;
}
