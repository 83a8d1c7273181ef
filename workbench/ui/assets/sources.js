// Where maps come from: a kernel that is asked for each as it is needed, or a page that carries them.
// Both have map({word, layer, head, sinks}) -> {values, peak, shares}, looks({image, box, layer, head, sinks})
// -> {share, lift} (a number for each word), picture(image) -> ImageBitmap, and close().

const KEPT = 64 * 1024 * 1024; // bytes of maps kept in the browser
const PATIENCE = 600; // seconds until a silent kernel is given up

/** Ask for each thing once; the least recently used are dropped when there are too many. */
function remember(ask) {
  const kept = new Map();
  let bytes = 0;
  return (request) => {
    const key = JSON.stringify(request);
    const found = kept.get(key);
    if (found) {
      kept.delete(key);
      kept.set(key, found);
      return found.promise;
    }
    const entry = { bytes: 0 };
    entry.promise = ask(request).then(
      (answer) => {
        entry.bytes = answer.bytes || 0;
        bytes += entry.bytes;
        for (const [oldest, old] of kept) {
          if (bytes <= KEPT) break;
          if (old === entry || !old.bytes) continue;
          kept.delete(oldest);
          bytes -= old.bytes;
        }
        return answer;
      },
      (error) => {
        kept.delete(key); // what failed may be asked again
        throw error;
      },
    );
    kept.set(key, entry);
    return entry.promise;
  };
}

const bytesOf = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
const floatsOf = (view) => new Float32Array(bytesOf(view).slice().buffer); // a copy: aligned to four bytes

/** Maps from the kernel, over custom messages of the widget. */
function kernelSource(model) {
  const name = Math.random().toString(36).slice(2); // each view hears the answers to all of them
  const waiting = new Map();
  let count = 0;
  const receive = (message, buffers) => {
    const asked = waiting.get(message.id);
    if (!asked) return;
    waiting.delete(message.id);
    clearTimeout(asked.timer);
    if (message.error) asked.reject(new Error(message.error));
    else asked.resolve({ ...message, buffers });
  };
  model.on("msg:custom", receive);
  const ask = (content) =>
    new Promise((resolve, reject) => {
      const id = `${name}:${count++}`;
      const timer = setTimeout(() => {
        waiting.delete(id);
        reject(new Error("The kernel does not answer. Run the cell again."));
      }, PATIENCE * 1000);
      waiting.set(id, { resolve, reject, timer });
      model.send({ id, ...content });
    });
  const known = remember(async (request) => {
    const reply = await ask(request);
    const bytes = reply.buffers.reduce((sum, view) => sum + view.byteLength, 0);
    if (request.kind === "map") {
      return { values: bytesOf(reply.buffers[0]), peak: reply.peak, shares: reply.shares, bytes };
    }
    return { share: floatsOf(reply.buffers[0]), lift: floatsOf(reply.buffers[1]), bytes };
  });
  return {
    map: (request) => known({ kind: "map", ...request }),
    looks: (request) => known({ kind: "looks", ...request }),
    picture: async (image) => {
      const reply = await ask({ kind: "picture", image });
      return createImageBitmap(new Blob([bytesOf(reply.buffers[0])], { type: "image/png" }));
    },
    close: () => {
      model.off("msg:custom", receive);
      for (const asked of waiting.values()) clearTimeout(asked.timer);
      waiting.clear();
    },
  };
}

const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

async function inflate(text) {
  const packed = new Blob([fromBase64(text)]).stream();
  return new Uint8Array(await new Response(packed.pipeThrough(new DecompressionStream("deflate"))).arrayBuffer());
}

/** Maps that a page carries: data.maps[setting] = {peaks, shares, packed}; each is unpacked when it is needed. */
function pageSource(data) {
  const grids = data.info.pictures.flatMap((picture) => picture.grids);
  const cells = grids.reduce((sum, grid) => sum + grid.rows * grid.cols, 0);
  const setting = remember(async (key) => {
    if (!(key in data.maps)) throw new Error("This page does not carry that layer or head.");
    const { peaks, shares, packed } = data.maps[key];
    const values = await inflate(packed);
    return { peaks, shares, values, bytes: values.length };
  });
  const at = ({ layer, head, sinks }) => setting(`${layer ?? "mean"}/${head ?? "mean"}/${sinks ? 1 : 0}`);
  return {
    map: async (request) => {
      const { peaks, shares, values } = await at(request);
      const start = request.word * cells;
      const own = values.subarray(start, start + cells);
      return { values: own, peak: peaks[request.word], shares: shares[request.word] };
    },
    looks: async (request) => {
      const { peaks, shares, values } = await at(request);
      const own = data.info.pictures[request.image].grids;
      const inside = own.flatMap((grid) => cellsInside(grid, request.box).map((cell) => grid.start + cell));
      const area = inside.length / own.reduce((sum, grid) => sum + grid.rows * grid.cols, 0);
      const share = peaks.map((peak, word) =>
        inside.reduce((sum, cell) => sum + (values[word * cells + cell] * peak) / 255, 0));
      const lift = share.map((part, word) => {
        const whole = shares[word][request.image];
        return whole > 0 && area > 0 ? part / whole / area : 0;
      });
      return { share, lift };
    },
    picture: (image) => createImageBitmap(new Blob([fromBase64(data.pictures[image])], { type: "image/png" })),
    close: () => {},
  };
}

/** Traits without a kernel: the same get, set and on as a widget's model has. */
function pageState(values) {
  const listeners = new Map();
  return {
    get: (name) => values[name],
    set: (changes) => {
      Object.assign(values, changes);
      for (const name of Object.keys(changes)) for (const listener of listeners.get(name) || []) listener();
    },
    on: (name, listener) => {
      listeners.set(name, [...(listeners.get(name) || []), listener]);
      return () => listeners.set(name, listeners.get(name).filter((other) => other !== listener));
    },
  };
}

/** A widget's model as such a state. */
function kernelState(model) {
  return {
    get: (name) => model.get(name),
    set: (changes) => {
      model.set(changes);
      model.save_changes();
    },
    on: (name, listener) => {
      model.on(`change:${name}`, listener);
      return () => model.off(`change:${name}`, listener);
    },
  };
}
