"use strict";
// The viewer of a patient's page. It runs when a reader asks for it: until then only the button is shown.
(() => {
  const byId = (id) => document.getElementById(id);
  const facts = JSON.parse(byId("viewer-facts").textContent);
  const panel = byId("viewer");
  const state = { slices: null, surfaces: null, node: -1, window: null, blend: 0, measuring: false, layout: 0 };
  const layers = new Map(); // name → { key, color, shown, apply }

  // ---- what travels in the page ----

  async function unpacked(name) {
    const letters = atob(byId("viewer-block-" + name).textContent);
    const bytes = new Uint8Array(letters.length);
    for (let n = 0; n < letters.length; n += 1) bytes[n] = letters.charCodeAt(n);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  }

  async function loadProgram() {
    const script = document.createElement("script");
    script.textContent = new TextDecoder().decode(await unpacked("niivue"));
    document.head.append(script); // the policy of the page knows its digest
    return globalThis.niivue;
  }

  function niftiFile(voxels, { slope = 1, intercept = 0, bits = 8 } = {}) {
    const file = new ArrayBuffer(352 + voxels.byteLength);
    const header = new DataView(file);
    header.setInt32(0, 348, true);
    [3, ...facts.shape, 1, 1, 1, 1].forEach((size, n) => header.setInt16(40 + 2 * n, size, true));
    header.setInt16(70, bits === 8 ? 2 : 512, true);
    header.setInt16(72, bits, true);
    [1, ...facts.spacing].forEach((step, n) => header.setFloat32(76 + 4 * n, step, true));
    header.setFloat32(108, 352, true);
    header.setFloat32(112, slope, true);
    header.setFloat32(116, intercept, true);
    header.setUint8(123, 2); // mm
    header.setInt16(254, 2, true);
    facts.affine.slice(0, 3).flat().forEach((value, n) => header.setFloat32(280 + 4 * n, value, true));
    header.setUint32(344, 0x00312b6e, true); // "n+1"
    new Uint8Array(file, 352).set(new Uint8Array(voxels));
    return file;
  }

  // ---- colours ----

  const css = (color) => `rgb(${color.join(" ")})`;

  function labelColors(entries) {
    const last = Math.max(1, ...entries.map((entry) => entry.value));
    const table = { R: [], G: [], B: [], A: [], I: [], labels: [] };
    for (let value = 0; value <= last; value += 1) {
      table.R.push(0); table.G.push(0); table.B.push(0); table.A.push(0);
      table.I.push(value);
      table.labels.push("");
    }
    for (const { value, color, name } of entries) {
      [table.R[value], table.G[value], table.B[value]] = color;
      table.A[value] = 255;
      table.labels[value] = name;
    }
    return table;
  }

  const heatColors = () => ({
    R: facts.attention.palette.map((c) => c[0]),
    G: facts.attention.palette.map((c) => c[1]),
    B: facts.attention.palette.map((c) => c[2]),
    A: facts.attention.palette.map((c, n) => (n ? 255 : 0)),
    I: facts.attention.palette.map((c, n) => Math.round((255 * n) / (facts.attention.palette.length - 1))),
  });

  // ---- surfaces: one vertex per cell that a mask's border crosses, then relaxed (naive surface nets) ----

  function boxesOf(voxels, shape) {
    const boxes = new Map();
    let at = 0;
    for (let k = 0; k < shape[2]; k += 1)
      for (let j = 0; j < shape[1]; j += 1)
        for (let i = 0; i < shape[0]; i += 1, at += 1) {
          const value = voxels[at];
          if (!value) continue;
          const box = boxes.get(value);
          if (!box) boxes.set(value, [i, j, k, i, j, k]);
          else {
            if (i < box[0]) box[0] = i; else if (i > box[3]) box[3] = i;
            if (j < box[1]) box[1] = j; else if (j > box[4]) box[4] = j;
            if (k > box[5]) box[5] = k;
          }
        }
    return boxes;
  }

  function surfaceOf(voxels, shape, value, box, stride) {
    const low = [0, 1, 2].map((axis) => box[axis] - stride[axis]);
    const size = [0, 1, 2].map((axis) => Math.ceil((box[axis + 3] - low[axis]) / stride[axis]) + 2);
    const mask = new Uint8Array(size[0] * size[1] * size[2]);
    const [di, dj, dk] = [1, size[0], size[0] * size[1]];
    // The outermost layer stays empty, so that every surface is closed.
    for (let k = 0, at = 0; k < size[2]; k += 1) {
      const z = low[2] + k * stride[2];
      for (let j = 0; j < size[1]; j += 1) {
        const y = low[1] + j * stride[1];
        const row = shape[0] * (y + shape[1] * z);
        const there = z >= 0 && y >= 0 && z < shape[2] && y < shape[1];
        for (let i = 0; i < size[0]; i += 1, at += 1) {
          const x = low[0] + i * stride[0];
          if (there && x >= 0 && x < shape[0] && voxels[row + x] === value) mask[at] = 1;
        }
      }
    }
    const vertexAt = new Int32Array(mask.length).fill(-1);
    const places = [];
    const triangles = [];
    const quad = (a, b, c, d, flip) => {
      if (flip) triangles.push(a, c, b, a, d, c);
      else triangles.push(a, b, c, a, c, d);
    };
    for (let k = 0; k + 1 < size[2]; k += 1)
      for (let j = 0; j + 1 < size[1]; j += 1)
        for (let i = 0; i + 1 < size[0]; i += 1) {
          const at = i + dj * j + dk * k;
          const c000 = mask[at], c100 = mask[at + di], c010 = mask[at + dj], c110 = mask[at + dj + di];
          const c001 = mask[at + dk], c101 = mask[at + dk + di], c011 = mask[at + dk + dj], c111 = mask[at + dk + dj + di];
          const x = c100 + c110 + c101 + c111, y = c010 + c110 + c011 + c111, z = c001 + c101 + c011 + c111;
          const held = x + c000 + c010 + c001 + c011;
          if (held === 0 || held === 8) continue;
          vertexAt[at] = places.length / 3;
          // Towards the middle between the corners inside and those outside.
          const out = 8 - held;
          places.push(
            i + (x / held + (4 - x) / out) / 2, j + (y / held + (4 - y) / out) / 2, k + (z / held + (4 - z) / out) / 2);
          if (j && k && mask[at] !== mask[at + di])
            quad(vertexAt[at], vertexAt[at - dj], vertexAt[at - dj - dk], vertexAt[at - dk], !mask[at]);
          if (i && k && mask[at] !== mask[at + dj])
            quad(vertexAt[at], vertexAt[at - dk], vertexAt[at - di - dk], vertexAt[at - di], !mask[at]);
          if (i && j && mask[at] !== mask[at + dk])
            quad(vertexAt[at], vertexAt[at - di], vertexAt[at - di - dj], vertexAt[at - dj], !mask[at]);
        }
    return placed(relaxed(Float32Array.from(places), triangles), triangles, low, stride);
  }

  function relaxed(places, triangles, rounds = 10) {
    const count = places.length / 3;
    let from = places;
    // Pairs of steps inwards and outwards take the stairs away and keep the volume (Taubin).
    for (let round = 0; round < 2 * rounds; round += 1) {
      const pull = round % 2 ? -0.53 : 0.5;
      const sums = new Float32Array(3 * count);
      const neighbours = new Float32Array(count);
      for (let t = 0; t < triangles.length; t += 3)
        for (let side = 0; side < 3; side += 1) {
          const [a, b] = [triangles[t + side], triangles[t + ((side + 1) % 3)]];
          neighbours[a] += 1;
          for (let axis = 0; axis < 3; axis += 1) sums[3 * a + axis] += from[3 * b + axis];
        }
      const to = new Float32Array(3 * count);
      for (let n = 0; n < 3 * count; n += 1) {
        const near = neighbours[(n / 3) | 0];
        to[n] = near ? from[n] + pull * (sums[n] / near - from[n]) : from[n];
      }
      from = to;
    }
    return from;
  }

  function placed(places, triangles, low, stride) {
    const m = facts.affine;
    const points = new Float32Array(places.length);
    for (let n = 0; n < places.length; n += 3) {
      const [i, j, k] = [0, 1, 2].map((axis) => low[axis] + stride[axis] * places[n + axis]);
      for (let row = 0; row < 3; row += 1)
        points[n + row] = m[row][0] * i + m[row][1] * j + m[row][2] * k + m[row][3];
    }
    const turned = m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
      + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]) < 0;
    const order = Uint32Array.from(triangles);
    if (turned) for (let t = 0; t < order.length; t += 3) [order[t], order[t + 1]] = [order[t + 1], order[t]];
    return { points, triangles: order };
  }

  // ---- setting up ----

  async function imagesOf(program, raw) {
    const { NVImage } = program;
    const { low, step } = facts.hu;
    const bits = facts.uint16 ? 16 : 8;
    const made = async (name, colors, opacity, range, options) => {
      const image = await NVImage.new(niftiFile(raw[name], options), `${name}.nii`, colors, opacity, null, ...range);
      image.name = name;
      return image;
    };
    const ct = (name, opacity) => made(name, "ct", opacity, [-160, 240], { slope: step, intercept: low });
    const labels = async (name, entries, opacity, options) => {
      const image = await made(name, "ct", opacity, [0, 255], options);
      image.setColormapLabel(labelColors(entries));
      return image;
    };
    const nodes = facts.nodes.map((node, row) => ({ value: row + 1, color: node.color, name: `node ${node.label}` }));
    return Promise.all([
      ct("venous", 1),
      ...(raw.arterial ? [ct("arterial", 0)] : []),
      made("attention", "heat", 0, [0, facts.attention.levels]),
      labels("structures", facts.structures, 0),
      labels("tumor", [{ value: 1, color: facts.tumor.color, name: "tumor" }], 0),
      labels("nodes", nodes, 0, { bits }),
    ]);
  }

  function meshesOf(program, gl, raw) {
    const { NVMesh } = program;
    const meshes = [];
    const coarse = facts.spacing.map((step) => Math.max(1, Math.round(1.8 / step)));
    const add = (voxels, entries, opacity, stride, layer) => {
      const boxes = boxesOf(voxels, facts.shape);
      for (const { value, color, name } of entries) {
        if (!boxes.has(value)) continue;
        const { points, triangles } = surfaceOf(voxels, facts.shape, value, boxes.get(value), stride);
        if (!triangles.length) continue;
        const mesh = new NVMesh(points, triangles, name, new Uint8Array([...color, 255]), opacity, true, gl);
        meshes.push({ mesh, layer });
      }
    };
    const nodes = facts.nodes.map((node, row) => ({ value: row + 1, color: node.color, name: `node ${node.label}` }));
    const numbers = facts.uint16 ? new Uint16Array(raw.nodes) : new Uint8Array(raw.nodes);
    add(numbers, nodes, 1, [1, 1, 1], "nodes");
    add(new Uint8Array(raw.tumor), [{ value: 1, color: facts.tumor.color, name: "tumor" }], 1, [1, 1, 1], "tumor");
    const structures = new Uint8Array(raw.structures);
    add(structures, facts.structures.filter((each) => each.tube), 0.8, coarse, "structures");
    add(structures, facts.structures.filter((each) => !each.tube), 0.22, coarse, "structures");
    return meshes;
  }

  async function start() {
    panel.dataset.state = "loading";
    const names = ["venous", "arterial", "attention", "structures", "tumor", "nodes"].filter((name) => byId("viewer-block-" + name));
    const [program, ...contents] = await Promise.all([loadProgram(), ...names.map(unpacked)]);
    const raw = Object.fromEntries(names.map((name, n) => [name, contents[n]]));
    const quiet = { logLevel: "silent", loadingText: " ", dragAndDropEnabled: false, viewModeHotKey: "", clipPlaneHotKey: "", cycleClipPlaneHotKey: "", isAntiAlias: true };
    const slices = new program.Niivue({
      ...quiet, backColor: [0, 0, 0, 1], crosshairColor: [1, 0.85, 0.33, 0.9], crosshairWidthUnit: "mm",
      isRadiologicalConvention: true, sagittalNoseLeft: true, fontColor: [0.75, 0.8, 0.86, 1], fontMinPx: 14,
      multiplanarShowRender: program.SHOW_RENDER ? program.SHOW_RENDER.NEVER : 0, tileMargin: 2, show3Dcrosshair: false,
      measureLineColor: [1, 0.85, 0.33, 1], measureTextColor: [1, 0.85, 0.33, 1], rulerColor: [1, 0.85, 0.33, 1], isForceMouseClickToVoxelCenters: false,
    });
    slices.onLocationChange = (place) => told(place);
    await slices.attachToCanvas(byId("viewer-slices"));
    slices.addColormap("ct", { R: [0, 255], G: [0, 255], B: [0, 255], A: [255, 255], I: [0, 255] });
    slices.addColormap("heat", heatColors());
    const images = await imagesOf(program, raw);
    const heat = images.findIndex((image) => image.name === "attention");
    // Alpha by its own value: the weaker the attention, the clearer the CT beneath.
    Object.assign(images[heat], { modulationImage: heat, modulateAlpha: 2 });
    slices.volumes = images; // all at once: each call of `addVolume` would draw all of them again
    slices.setVolume(images[0], 0);
    const surfaces = new program.Niivue({
      ...quiet, backColor: [0.043, 0.055, 0.071, 1], show3Dcrosshair: true, crosshairColor: [1, 0.85, 0.33, 1],
      crosshairWidth: 1, crosshairWidthUnit: "mm", crosshairGap: 16, isOrientCube: true, fontColor: [0.75, 0.8, 0.86, 1],
    });
    await surfaces.attachToCanvas(byId("viewer-surfaces"));
    surfaces.setSliceType(surfaces.sliceTypeRender);
    const meshes = meshesOf(program, surfaces.gl, raw);
    surfaces.meshes = meshes.map(({ mesh }) => mesh);
    surfaces.updateGLVolume();
    surfaces.setRenderAzimuthElevation(160, 12);
    Object.assign(state, { program, slices, surfaces, meshes });
    controls();
    lookThrough(facts.windows[0]);
    layOut(0);
    new ResizeObserver(() => layOut(state.layout)).observe(byId("viewer-slices"));
    panel.dataset.state = "ready";
  }

  // ---- what a reader does ----

  // Plane (0 axial, 1 coronal, 2 sagittal) and its place: left, top, width, height as shares of the canvas.
  const LAYOUTS = [
    { name: "planes", tiles: [[0, 0, 0, 0.58, 1], [1, 0.58, 0, 0.42, 0.5], [2, 0.58, 0.5, 0.42, 0.5]] },
    { name: "axial", tiles: [[0, 0, 0, 1, 1]] },
    { name: "coronal", tiles: [[1, 0, 0, 1, 1]] },
    { name: "sagittal", tiles: [[2, 0, 0, 1, 1]] },
    { name: "3-D", tiles: [] },
  ];

  // The largest part of a place, in its middle, that has the proportions of the slice: nothing is cut off.
  function fitted([plane, left, top, width, height]) {
    const canvas = byId("viewer-slices");
    const [x, y, z] = facts.shape.map((size, axis) => size * facts.spacing[axis]);
    const [across, down] = [[x, y], [x, z], [y, z]][plane];
    const [wide, high] = [width * canvas.clientWidth, height * canvas.clientHeight];
    const scale = Math.min(wide / across, high / down);
    const [w, h] = [(width * scale * across) / wide, (height * scale * down) / high];
    return { sliceType: plane, position: [left + (width - w) / 2, top + (height - h) / 2, w, h], scale };
  }

  function button(text, key, act, color) {
    const made = document.createElement("button");
    made.type = "button";
    if (color) made.append(Object.assign(document.createElement("i"), { ariaHidden: "true" }));
    if (color) made.firstChild.style.background = color;
    made.append(text);
    if (key) made.append(Object.assign(document.createElement("kbd"), { textContent: key }));
    made.addEventListener("click", act);
    return made;
  }

  const pressed = (made, is) => made.setAttribute("aria-pressed", String(is));

  function controls() {
    for (const wanted of facts.windows) {
      wanted.button = button(wanted.name, wanted.key, () => lookThrough(wanted));
      byId("viewer-windows").append(wanted.button);
    }
    state.measure = button("measure", "m", () => measure(!state.measuring));
    state.view = button("planes", "v", () => layOut((state.layout + 1) % LAYOUTS.length));
    byId("viewer-tools").append(state.view, state.measure, button("reset", "r", reset), button("close", "esc", close));
    const blend = byId("viewer-blend");
    blend.hidden = !volume("arterial");
    blend.querySelector("input").addEventListener("input", (event) => show(event.target.value / 100));
    layerControls();
    nodeList();
    byId("viewer-keys").textContent = "↑ ↓ node · wheel slice · drag crosshair · right drag zoom"
      + (volume("arterial") ? " · F other phase" : "") + (facts.nodes.length ? " · click a row" : "");
    panel.addEventListener("keydown", keyed, true);
    panel.addEventListener("keyup", (event) => event.stopPropagation(), true);
  }

  function layerControls() {
    const palette = facts.attention.palette;
    const [first, last] = [palette[Math.floor(palette.length / 4)], palette[palette.length - 1]];
    const heat = `linear-gradient(90deg, ${css(first.slice(0, 3))}, ${css(last.slice(0, 3))})`;
    const ramp = `linear-gradient(90deg, ${facts.ramp.join(", ")})`;
    const rows = [
      ["attention", "1", heat, 0.4, false],
      ["structures", "2", "linear-gradient(135deg, #d65050, #f5cd4b 50%, #5078d2)", 0.22, facts.structures.length > 0],
      ["tumor", "3", css(facts.tumor.color), 0.38, facts.tumor.found],
      ["nodes", "4", ramp, 0.6, facts.nodes.length > 0],
    ];
    for (const [name, key, color, opacity, shown] of rows) {
      const layer = { opacity, shown };
      const words = name === "nodes" ? "nodes by probability" : name;
      layer.button = button(words, key, () => toggle(name), color);
      if (name === "nodes") layer.button.title = "blue: probably negative, ivory: uncertain, red: probably positive";
      layers.set(name, layer);
      byId("viewer-layers").append(layer.button);
      pressed(layer.button, shown);
      volume(name).opacity = shown ? opacity : 0; // drawn with the first window
      for (const each of state.meshes) if (each.layer === name) each.mesh.visible = shown;
    }
  }

  function nodeList() {
    const list = byId("viewer-nodes");
    list.setAttribute("role", "listbox");
    facts.nodes.forEach((node, row) => {
      const item = document.createElement("li");
      item.setAttribute("role", "option");
      const dot = document.createElement("i");
      dot.style.background = css(node.color);
      const text = (tag, words) => Object.assign(document.createElement(tag), { textContent: words });
      item.append(dot, text("b", `node ${node.label}`), text("span", node.call), text("span", node.probability), text("small", node.about));
      item.addEventListener("click", () => goTo(row));
      list.append(item);
    });
    if (!facts.nodes.length) list.before(Object.assign(document.createElement("p"), { textContent: "No lymph node to list." }));
  }

  const volume = (name) => state.slices.volumes.find((image) => image.name === name);

  function opacityOf(name, opacity) {
    const index = state.slices.volumes.findIndex((image) => image.name === name);
    if (index >= 0) state.slices.setOpacity(index, opacity);
    for (const { mesh, layer } of state.meshes)
      if (layer === name) state.surfaces.setMeshProperty(mesh.id, "visible", opacity > 0);
  }

  function toggle(name) {
    const layer = layers.get(name);
    layer.shown = !layer.shown;
    pressed(layer.button, layer.shown);
    opacityOf(name, layer.shown ? layer.opacity : 0);
  }

  function lookThrough(wanted) {
    state.window = wanted;
    for (const each of facts.windows) pressed(each.button, each === wanted);
    for (const name of ["venous", "arterial"]) {
      const image = volume(name);
      if (image) [image.cal_min, image.cal_max] = [wanted.low, wanted.high];
    }
    state.slices.updateGLVolume();
  }

  function show(share) {
    state.blend = share;
    byId("viewer-blend").querySelector("input").value = 100 * share;
    if (state.blendDue) return;
    state.blendDue = requestAnimationFrame(() => {
      state.blendDue = 0;
      opacityOf("arterial", state.blend);
    });
  }

  function measure(is) {
    state.measuring = is;
    pressed(state.measure, is);
    const { DRAG_MODE } = state.program;
    state.slices.setMouseEventConfig({
      leftButton: { primary: is ? DRAG_MODE.measurement : DRAG_MODE.crosshair },
      rightButton: DRAG_MODE.slicer3D, centerButton: DRAG_MODE.pan,
    });
    if (!is) state.slices.clearMeasurements();
  }

  function layOut(which) {
    state.layout = which;
    state.view.firstChild.textContent = LAYOUTS[which].name;
    panel.dataset.view = LAYOUTS[which].name; // the style sheet gives all the room to three dimensions
    if (!LAYOUTS[which].tiles.length || !byId("viewer-slices").clientWidth) return;
    const tiles = LAYOUTS[which].tiles.map(fitted);
    // A line of 1.4 pixels, open for 6 mm around the middle; NiiVue counts the gap in radii of the line.
    const thickness = 1.4 / Math.min(...tiles.map((tile) => tile.scale));
    Object.assign(state.slices.opts, { crosshairWidth: thickness, crosshairGap: 12 / thickness });
    state.slices.crosshairs3D = null;
    state.slices.setCustomLayout(tiles);
  }

  function reset() {
    measure(false);
    show(0);
    layOut(0);
    state.slices.setPan2Dxyzmm([0, 0, 0, 1]);
    lookThrough(facts.windows[0]);
    state.surfaces.setRenderAzimuthElevation(160, 12);
  }

  function goTo(row) {
    if (!facts.nodes.length) return state.slices.createOnLocationChange(); // the middle of the images
    state.node = Math.min(Math.max(row, 0), facts.nodes.length - 1);
    const node = facts.nodes[state.node];
    [...byId("viewer-nodes").children].forEach((item, n) => {
      item.setAttribute("aria-selected", String(n === state.node));
      if (n === state.node) item.scrollIntoView({ block: "nearest" });
    });
    for (const line of document.querySelectorAll("tr[data-node]"))
      line.classList.toggle("at", Number(line.dataset.node) === node.label);
    const [x, y, z] = node.center;
    state.slices.scene.crosshairPos = state.slices.mm2frac([-x, -y, z], 0, true); // true: the patient's axes, not the grid's
    state.slices.createOnLocationChange();
    state.slices.drawScene();
    panel.dataset.node = node.label;
  }

  // The crosshair moved: in words below, and in three dimensions beside.
  function told(place) {
    const [right, front, z] = place.mm;
    const at = [-right, -front, z];
    panel.dataset.place = at.map((value) => value.toFixed(1)).join(" ");
    const values = new Map(place.values.map((each) => [each.name, each.value]));
    const words = [`x ${at[0].toFixed(0)}  y ${at[1].toFixed(0)}  z ${at[2].toFixed(0)} mm (LPS)`, `venous ${values.get("venous").toFixed(0)} HU`];
    if (values.has("arterial")) words.push(`arterial ${values.get("arterial").toFixed(0)} HU`);
    const structure = facts.structures.find((each) => each.value === values.get("structures"));
    if (structure) words.push(structure.name);
    if (values.get("tumor")) words.push("tumor");
    if (values.get("nodes")) words.push(`node ${facts.nodes[values.get("nodes") - 1].label}`);
    words.push(`attention ${(values.get("attention") / facts.attention.levels).toFixed(2)}`);
    byId("viewer-place").textContent = words.join("  ·  ").replaceAll("-", "−");
    if (!state.surfaces || !state.meshes.length) return;
    state.surfaces.scene.crosshairPos = state.surfaces.mm2frac([right, front, z]);
    state.surfaces.drawScene();
  }

  function keyed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    const wanted = facts.windows.find((each) => each.key === key);
    const layer = [...layers.keys()][Number(key) - 1];
    const slides = event.target.matches("input");
    if (key === "arrowdown" && !slides) goTo(state.node + 1);
    else if (key === "arrowup" && !slides) goTo(state.node - 1);
    else if (wanted) lookThrough(wanted);
    else if (layer) toggle(layer);
    else if (key === "f" && volume("arterial")) show(state.blend < 0.5 ? 1 : 0);
    else if (key === "m") measure(!state.measuring);
    else if (key === "v") layOut((state.layout + 1) % LAYOUTS.length);
    else if (key === "r") reset();
    else if (key === "escape") close();
    else return event.target.matches("canvas") && key !== "tab" ? event.stopPropagation() : undefined;
    event.preventDefault();
    event.stopPropagation();
  }

  // ---- opening and closing ----

  // Asked for only when the viewer is opened: a first drawing context may take a browser longer than the page.
  function canDraw() {
    const context = document.createElement("canvas").getContext("webgl2");
    context?.getExtension("WEBGL_lose_context")?.loseContext();
    return context !== null;
  }

  function offer(is) {
    byId("viewer-door").hidden = !is;
    byId("viewer-absent").hidden = is;
  }

  async function open(label) {
    if (!state.started && !canDraw()) return offer(false);
    panel.hidden = false;
    document.documentElement.classList.add("viewer-behind");
    panel.focus();
    state.started ??= start();
    try {
      await state.started;
    } catch (error) {
      panel.dataset.state = "failed";
      byId("viewer-wait").textContent = `The viewer could not start (${error.message}). Press Esc: the pictures of the page show the same findings.`;
      return;
    }
    byId("viewer-wait").hidden = true;
    const row = facts.nodes.findIndex((node) => node.label === label);
    if (row >= 0 || state.node < 0) goTo(Math.max(row, 0));
  }

  function close() {
    panel.hidden = true;
    document.documentElement.classList.remove("viewer-behind");
    byId("viewer-open").focus();
  }

  if (!globalThis.DecompressionStream || !globalThis.WebGL2RenderingContext) return;
  offer(true);
  byId("viewer-open").addEventListener("click", () => open());
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
  for (const line of document.querySelectorAll("tr[data-node]")) {
    line.classList.add("opens-viewer");
    line.title = "Show in the viewer";
    line.addEventListener("click", (event) => {
      if (!event.target.closest("a")) open(Number(line.dataset.node));
    });
  }
  for (const card of document.querySelectorAll("article[data-node]")) {
    const link = Object.assign(document.createElement("button"), { type: "button", textContent: "show in the viewer" });
    link.addEventListener("click", () => open(Number(card.dataset.node)));
    card.querySelector("h3").append(link);
  }
  const asked = new URLSearchParams(location.hash.slice(1));
  if (asked.has("viewer")) open(asked.has("node") ? Number(asked.get("node")) : undefined);
})();
