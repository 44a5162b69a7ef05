// Browsers refuse workers to pages that are opened from disk. There an invisible frame runs the search's script in a
// worker's place. Material looks for the name `IFrameWorker`, to know where its scripts lie.
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const inside = this.frame.contentWindow;
      addEventListener("message", (event) => {
        if (event.source !== inside) return;
        const copy = new MessageEvent("message", { data: event.data });
        this.dispatchEvent(copy);
        this.onmessage?.(copy);
      });
      this.loaded = new Promise((resolve) => {
        inside.document.open();
        inside.document.write("<!doctype html><body></body>");
        inside.document.close();
        inside.postMessage = (data) => parent.postMessage.call(window, data, "*");
        const script = inside.document.createElement("script");
        script.onload = resolve;
        script.src = new URL(url, location.href).href;
        inside.document.body.append(script);
      });
    }

    async postMessage(data) {
      await this.loaded;
      const inside = this.frame.contentWindow;
      inside.dispatchEvent(new inside.MessageEvent("message", { data, source: inside }));
    }

    terminate() {
      this.frame.remove();
    }
  };
  window.Worker = window.IFrameWorker;
}
