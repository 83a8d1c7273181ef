// Where maps come from: a kernel that is asked for each as it is needed, or a page that carries them.  Both have
// map({word, layer, head, sinks, against: true for the other reply}) -> {values, peak, shares, texts, textPeak}, looks({image, box, layer, head, sinks})
// -> {share, lift (a number for each word), heads}, grid({word, image, sinks}) -> {shape, values},
// overlay({overlay, layer}) -> {values (signed bytes), peak, words, says}, picture(image) -> ImageBitmap, again(number) -> what was asked again, and close(); a kernel has hide({image, box}) and
// save({layers, heads, words}) -> bytes of a page.

const KEPT = 64 * 1024 * 1024; // bytes of maps kept in the browser
const PATIENCE = 600; // seconds until a silent kernel is given up
const [BUTTONS, BEYOND] = [6, 0.01]; // heads offered for a box, and what they must look there beyond the rest
const THUMBNAIL = 12; // most rows and columns of a head's thumbnail
const GONE = "The kernel of this explorer is gone. Run its cell again.";

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

/** One map of several: the mean of what they share, in bytes of a peak of its own. */
function meanMap(maps) {
  if (maps.length === 1) return maps[0];
  const mean = (values, peak) => {
    const sums = new Float32Array(maps[0][values].length);
    for (const map of maps) map[values].forEach((value, at) => (sums[at] += (value * map[peak]) / 255 / maps.length));
    const most = sums.reduce((a, b) => Math.max(a, b), 0);
    return [Uint8Array.from(sums, (share) => Math.round(most > 0 ? (255 * share) / most : 0)), most];
  };
  const [values, peak] = mean("values", "peak");
  const [texts, textPeak] = mean("texts", "textPeak");
  const shares = maps[0].shares.map((_, image) => maps.reduce((sum, map) => sum + map.shares[image], 0) / maps.length);
  return { values, peak, texts, textPeak, shares };
}

/** A map's bytes on a scale that ends at `top`, so that two maps can be compared. */
const onScale = ({ values, peak }, top) => (peak === top ? values : values.map((value) => Math.round((value * peak) / top)));

const bytesOf = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
const floatsOf = (view) => new Float32Array(bytesOf(view).slice().buffer); // a copy: aligned to four bytes

/** An overlay from its bytes: values, and of a logit lens the number of each patch's word. */
function overlayIn(peak, words, values, says) {
  const numbers = new Uint32Array(says.slice().buffer); // a copy: aligned to four bytes
  return { peak, words, values: new Int8Array(values.slice().buffer), says: numbers };
}

const pictureOf = (view) => createImageBitmap(new Blob([bytesOf(view)], { type: "image/png" }));

/** Questions to the kernel and its answers, over custom messages of the widget. */
function asking(model) {
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
        reject(new Error(GONE));
      }, PATIENCE * 1000);
      const failed = () => {
        waiting.delete(id);
        clearTimeout(timer);
        reject(new Error(GONE));
      };
      waiting.set(id, { resolve, reject, timer });
      try {
        Promise.resolve(model.send({ id, ...content })).catch(failed); // after a restart there is nobody to send to
      } catch {
        failed();
      }
    });
  const close = () => {
    model.off("msg:custom", receive);
    for (const asked of waiting.values()) clearTimeout(asked.timer);
    waiting.clear();
  };
  return { ask, close };
}

/** Maps from the kernel. */
function kernelSource(model) {
  const { ask, close } = asking(model);
  const known = remember(async (request) => {
    const reply = await ask(request);
    const bytes = reply.buffers.reduce((sum, view) => sum + view.byteLength, 0);
    if (request.kind === "map") {
      const [values, texts] = reply.buffers.map(bytesOf);
      return { values, texts, peak: reply.peak, textPeak: reply.textPeak, shares: reply.shares, bytes };
    }
    if (request.kind === "overlay") return { ...overlayIn(reply.peak, reply.words, ...reply.buffers.map(bytesOf)), bytes };
    if (request.kind === "grid") return { shape: reply.shape, values: bytesOf(reply.buffers[0]), bytes };
    return { heads: reply.heads, share: floatsOf(reply.buffers[0]), lift: floatsOf(reply.buffers[1]), bytes };
  });
  return {
    map: (request) => known({ kind: "map", ...request }),
    looks: (request) => known({ kind: "looks", ...request }),
    grid: (request) => known({ kind: "grid", layer: null, head: null, ...request }),
    overlay: (request) => known({ kind: "overlay", ...request }),
    picture: async (image) => pictureOf((await ask({ kind: "picture", image })).buffers[0]),
    hide: (request) => ask({ kind: "hide", ...request }),
    save: async (request) => bytesOf((await ask({ kind: "save", ...request })).buffers[0]),
    again: async (number) => {
      const reply = await ask({ kind: "again", number });
      return { ...reply.told, bitmap: await pictureOf(reply.buffers[0]) };
    },
    close,
  };
}

const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

async function inflate(text) {
  const packed = new Blob([fromBase64(text)]).stream();
  return new Uint8Array(await new Response(packed.pipeThrough(new DecompressionStream("deflate"))).arrayBuffer());
}

/** The heads that look at some cells most, beyond what they look at the picture anyway; as `Maps.heads_on`. */
function headsOn({ values, peaks }, inside, grids, info, cells) {
  const area = grids.reduce((sum, grid) => sum + grid.rows * grid.cols, 0);
  const { layers, heads } = apart(info);
  const found = peaks.map((peak, at) => {
    const value = (cell) => (values[at * cells + cell] * peak) / 255;
    const share = inside.reduce((sum, cell) => sum + value(cell), 0);
    let total = 0;
    for (const grid of grids) for (let cell = grid.start; cell < grid.start + grid.rows * grid.cols; cell++) total += value(cell);
    return { layer: layers[Math.floor(at / heads.length)], head: heads[at % heads.length], share, score: share - (total * inside.length) / area };
  });
  return found.filter(({ score }) => score > BEYOND).sort((a, b) => b.score - a.score).slice(0, BUTTONS);
}

/** Small maps of all heads as bytes on one root scale; as `thumbnails` in Python. */
function thumbnailsOf(shares, grid, info) {
  const [rows, cols] = [grid.rows, grid.cols].map((count) => Math.ceil(count / THUMBNAIL));
  const [down, across] = [Math.ceil(grid.rows / rows), Math.ceil(grid.cols / cols)];
  const largest = new Float32Array(shares.length * down * across);
  shares.forEach((own, number) =>
    own.forEach((share, cell) => {
      const [row, col] = [Math.floor(cell / grid.cols), cell % grid.cols];
      const place = (number * down + Math.floor(row / rows)) * across + Math.floor(col / cols);
      largest[place] = Math.max(largest[place], share);
    }));
  const most = largest.reduce((a, b) => Math.max(a, b), 0) || 1;
  const values = Uint8Array.from(largest, (share) => Math.round(255 * Math.sqrt(share / most)));
  const { layers, heads } = apart(info);
  return { shape: [layers.length, heads.length, down, across], values };
}

/** Maps that a page carries: data.maps[setting] = {peaks, shares, packed}; each is unpacked when it is needed. */
function pageSource(data) {
  const grids = data.info.pictures.flatMap((picture) => picture.grids);
  const cells = grids.reduce((sum, grid) => sum + grid.rows * grid.cols, 0);
  const setting = remember(async ([against, key]) => {
    const maps = against ? data.against : data.maps;
    if (!(key in maps)) throw new Error("This page does not carry that layer or head.");
    const { peaks, shares, packed, textPeaks, texts } = maps[key];
    const [values, slots] = await Promise.all([inflate(packed), inflate(texts)]);
    return { peaks, shares, values, textPeaks, slots, bytes: values.length + slots.length };
  });
  const rowOf = ({ word, against }) => data.info.choices[against ? "others" : "words"].indexOf(word);
  const overlays = remember(async ({ overlay, layer }) => {
    const { peak, words, values, says } = data.overlays[overlay][layer ?? "mean"];
    return overlayIn(peak, words, ...(await Promise.all([inflate(values), inflate(says)])));
  });
  const heads = remember(async () => {
    const values = await inflate(data.heads.packed);
    return { values, peaks: data.heads.peaks, bytes: values.length };
  });
  const at = ({ layer, head, sinks, against }) =>
    setting([Boolean(against), `${layer ?? "mean"}/${head ?? "mean"}/${sinks ? 1 : 0}`]);
  return {
    map: async (request) => {
      const all = await at(request);
      const word = rowOf(request);
      const { against } = request;
      const { prompt, words } = against ? data.info.against : data.info;
      const slots = prompt.length + words.length;
      return {
        values: all.values.subarray(word * cells, (word + 1) * cells),
        texts: all.slots.subarray(word * slots, (word + 1) * slots),
        peak: all.peaks[word],
        textPeak: all.textPeaks[word],
        shares: all.shares[word],
      };
    },
    looks: async (request) => {
      const { peaks, shares, values } = await at(request);
      const own = data.info.pictures[request.image].grids;
      const inside = own.flatMap((grid) => cellsInside(grid, request.box).map((cell) => grid.start + cell));
      const area = inside.length / own.reduce((sum, grid) => sum + grid.rows * grid.cols, 0);
      const [share, lift] = [data.info.words.map(() => 0), data.info.words.map(() => 0)]; // none of a word without a map
      data.info.choices.words.forEach((word, row) => {
        const whole = shares[row][request.image];
        share[word] = inside.reduce((sum, cell) => sum + (values[row * cells + cell] * peaks[row]) / 255, 0);
        lift[word] = whole > 0 && area > 0 ? share[word] / whole / area : 0;
      });
      return { share, lift, heads: data.heads ? headsOn(await heads(), inside, own, data.info, cells) : [] };
    },
    grid: async ({ word, image, sinks }) => {
      if (!data.heads) throw new Error("This page does not carry the heads apart.");
      const grid = data.info.pictures[image].grids[0];
      const shares = [];
      const there = apart(data.info);
      for (const layer of there.layers) {
        for (const head of there.heads) {
          const from = word === null ? await heads() : await at({ layer, head, sinks });
          const row = word === null ? shares.length : rowOf({ word });
          const start = row * cells + grid.start;
          const values = from.values.subarray(start, start + grid.rows * grid.cols);
          shares.push(Float32Array.from(values, (value) => (value * from.peaks[row]) / 255));
        }
      }
      return thumbnailsOf(shares, grid, data.info);
    },
    overlay: overlays,
    picture: (image) => pictureOf(fromBase64(data.pictures[image])),
    again: async (number) => ({ ...data.again[number], bitmap: await pictureOf(fromBase64(data.again[number].picture)) }),
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

/** A widget's model as such a state; without a kernel the view still shows what it has. */
function kernelState(model) {
  return {
    get: (name) => model.get(name),
    set: (changes) => {
      model.set(changes);
      try {
        model.save_changes();
      } catch {
        // nobody to tell: the next request says so
      }
    },
    on: (name, listener) => {
      model.on(`change:${name}`, listener);
      return () => model.off(`change:${name}`, listener);
    },
  };
}
