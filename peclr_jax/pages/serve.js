// The page to try a network: photos to /predict, its answers drawn. HAND and SKELETONS: skeleton.js.
(() => {
  "use strict";
  const PHOTO_SIDE = 1280; // px of the drawing's longer side: small photos, too, get smooth lines
  const FRAME_QUALITY = 0.92;
  const MOST_PHOTOS = 200; // on the page: each takes megabytes of the browser's memory
  const at = (id) => document.getElementById(id);
  const results = new Map(); // card -> what the server has said
  let working = 0;
  let waiting = 0; // photos in line, which the page will hold
  let line = Promise.resolve(); // one photo after the other
  let stream = null;

  function element(name, properties = {}, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

  // Photos that are sent.

  async function ask(blob, name, handedness) {
    const query = new URLSearchParams({ name, handedness });
    // What cannot be read would make `fetch` fail as it does without the program.
    const body = await blob.arrayBuffer().catch(() => {
      throw new Error(`${name} cannot be read: is it a folder, or has it changed?`);
    });
    const response = await fetch(`predict?${query}`, { method: "POST", body }).catch(() => {
      throw new Error("the program does not answer; does it still run in its terminal?");
    });
    const answer = await response.json().catch(() => ({ error: `answered ${response.status}` }));
    if (!response.ok) throw new Error(answer.error);
    return answer;
  }

  async function predict(blob, name, handedness, card = null) {
    working += 1;
    tell();
    try {
      const answer = await ask(blob, name, handedness);
      // Browsers do not show all that the network reads: TIFF, HEIC.
      const bitmap = await createImageBitmap(blob).catch(() => null);
      const shown = card ?? element("article", { className: "card result" });
      fill(shown, bitmap, answer);
      bitmap?.close();
      results.set(shown, answer);
      if (!shown.isConnected) at("results").prepend(shown);
      shown.querySelectorAll("canvas.skeleton").forEach(SKELETONS.show);
      return shown;
    } catch (error) {
      at("errors").append(element("li", { textContent: error.message }));
      return null;
    } finally {
      working -= 1;
      tell();
    }
  }

  function queue(files) {
    at("errors").replaceChildren();
    const taken = [...files].slice(0, Math.max(0, MOST_PHOTOS - results.size - waiting));
    waiting += taken.length;
    const side = at("handedness").value; // as it was chosen, not as it is when a photo's turn comes
    for (const file of taken) {
      line = line.then(() => predict(file, file.name || "pasted", side)).finally(() => (waiting -= 1));
    }
    if (taken.length < files.length) {
      const sentence =
        `${files.length - taken.length} of ${plural(files.length, "photo")} left out, as the page holds ` +
        `${MOST_PHOTOS}: remove some, or predict a folder by configs/predict.py`;
      at("errors").append(element("li", { textContent: sentence }));
    }
  }

  function tell() {
    const count = results.size;
    const hands = [...results.values()].flatMap((r) => r.images).flatMap((i) => i.hands).length;
    const found = count ? `${plural(hands, "hand")} in ${plural(count, "photo")}.` : "";
    const status = working && !at("live").checked ? "Looking at the photo …" : found;
    if (at("status").textContent !== status) at("status").textContent = status; // it is read aloud
    at("shelf").hidden = !count;
    const notes = [...new Set([...results.values()].flatMap((r) => r.meta.notes))];
    if (notes.length !== at("notes").childElementCount) {
      at("notes").replaceChildren(...notes.map((note) => element("li", { textContent: note })));
    }
  }

  // What is drawn.

  function fill(card, bitmap, { images: [image] }) {
    if (!card.firstChild) {
      const remove = element("button", { type: "button", textContent: "Remove" });
      remove.addEventListener("click", () => { forget(card); });
      card.append(
        element("header", {}, element("h3"), remove),
        element("canvas", { className: "photo", role: "img" }),
        element("div", { className: "hands" }),
      );
    }
    const [title, photo, hands] = ["h3", ".photo", ".hands"].map((part) => card.querySelector(part));
    title.textContent = image.file;
    card.querySelector("button").ariaLabel = `Remove ${image.file}`;
    drawPhoto(photo, bitmap, image);
    if (!image.hands.length) {
      hands.replaceChildren(element("p", { className: "note", textContent: "No hand was found." }));
      return;
    }
    // Hands that are there already stay, as the reader has turned them.
    const figures = [...hands.querySelectorAll("figure")].slice(0, image.hands.length);
    while (figures.length < image.hands.length) {
      const canvas = element("canvas", { className: "skeleton", tabIndex: 0, role: "img" });
      figures.push(element("figure", {}, canvas, element("figcaption")));
    }
    figures.forEach((figure, i) => describe(figure, image.hands[i], image.hands.length > 1 ? i + 1 : 0));
    const kept = hands.children;
    if (kept.length !== figures.length || figures.some((figure, i) => kept[i] !== figure)) {
      hands.replaceChildren(...figures);
    }
  }

  function describe(figure, hand, number) {
    const canvas = figure.querySelector("canvas");
    const error = hand.mean_expected_error_px;
    const words = `${number ? `${number}: ` : ""}${hand.handedness} hand`;
    canvas.dataset.joints = JSON.stringify(aroundCentre(hand.keypoints_3d));
    canvas.ariaLabel = `${words} in 3D; drag or use the arrow keys to turn it`;
    figure.querySelector("figcaption").textContent =
      error === undefined || error === null ? words : `${words}, expected error ${Number(error.toPrecision(3))} px`;
  }

  // Metres to millimetres around the middle of the hand's extent.
  function aroundCentre(joints) {
    const centre = [0, 1, 2].map((axis) => {
      const values = joints.map((joint) => joint[axis]);
      return (Math.min(...values) + Math.max(...values)) / 2;
    });
    return joints.map((joint) => joint.map((value, axis) => 1000 * (value - centre[axis])));
  }

  function drawPhoto(canvas, bitmap, image) {
    const { width, height } = bitmap ?? image;
    const scale = PHOTO_SIDE / Math.max(width, height);
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
    canvas.ariaLabel = `${image.file} with ${plural(image.hands.length, "hand")}`;
    const context = canvas.getContext("2d");
    if (bitmap) context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    const zoom = [canvas.width / image.width, canvas.height / image.height];
    image.hands.forEach((hand, i) => {
      // Pixels of a photo have their origin at the first one's centre, those of a canvas at its corner.
      const points = hand.keypoints_2d.map((p) => p.map((value, axis) => (value + 0.5) * zoom[axis]));
      drawHand(context, points, image.hands.length > 1 ? String(i + 1) : "");
    });
  }

  function drawHand(context, points, name) {
    const side = Math.max(context.canvas.width, context.canvas.height);
    const ranges = [0, 1].map((axis) => points.map((p) => p[axis])).map((v) => Math.max(...v) - Math.min(...v));
    const width = Math.min(Math.max(Math.max(...ranges) / 45, side / 300, 2), side / 60);
    context.lineCap = "round";
    for (const [rim, colors] of [[2 * HAND.rim, null], [0, HAND.colors]]) {
      for (const [a, b] of HAND.bones) {
        context.strokeStyle = colors ? colors[b] : HAND.rimColor;
        context.lineWidth = width * (1 + rim);
        context.beginPath();
        context.moveTo(...points[a]);
        context.lineTo(...points[b]);
        context.stroke();
      }
      points.forEach((point, i) => {
        context.fillStyle = colors ? colors[i] : HAND.rimColor;
        context.beginPath();
        context.arc(...point, (width * (HAND.dotDiameter + rim)) / 2, 0, 2 * Math.PI);
        context.fill();
      });
    }
    context.font = `bold ${6 * width}px system-ui, sans-serif`;
    context.lineWidth = width;
    context.strokeStyle = HAND.rimColor;
    context.fillStyle = "white";
    const place = [points[0][0] + 2 * width, points[0][1] + 6 * width];
    context.strokeText(name, ...place);
    context.fillText(name, ...place);
  }

  function forget(card) {
    const next = card.nextElementSibling ?? card.previousElementSibling;
    const hadFocus = card.contains(document.activeElement);
    results.delete(card);
    card.remove();
    tell();
    if (hadFocus) (next?.querySelector("button") ?? at("files")).focus();
  }

  function download() {
    const said = [...results.values()].reverse(); // as on the page, the last one first
    const notes = [...new Set(said.flatMap((r) => r.meta.notes))];
    const all = { meta: { ...said[0].meta, notes }, images: said.flatMap((r) => r.images), skipped: said.flatMap((r) => r.skipped) };
    const url = URL.createObjectURL(new Blob([JSON.stringify(all, null, 1)], { type: "application/json" }));
    element("a", { href: url, download: "predictions.json" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 0);
  }

  // The camera.

  async function start() {
    at("errors").replaceChildren();
    at("camera").disabled = true;
    try {
      const video = { facingMode: "environment", width: { ideal: 1280 } };
      stream = await navigator.mediaDevices.getUserMedia({ video });
      at("video").srcObject = stream;
      at("viewfinder").hidden = false;
      await at("video").play();
      at("snap").focus();
    } catch (error) {
      stop();
      at("errors").append(element("li", { textContent: `the camera cannot be used: ${error.message}` }));
    }
  }

  function stop() {
    stream?.getTracks().forEach((track) => track.stop());
    stream = at("video").srcObject = null;
    at("live").checked = false;
    at("viewfinder").hidden = true;
    at("camera").disabled = false;
    at("camera").focus();
  }

  async function frame() { // null before the camera's first picture
    const video = at("video");
    const canvas = element("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    return new Promise((resolve) => { canvas.toBlob(resolve, "image/jpeg", FRAME_QUALITY); });
  }

  async function snap() {
    const blob = await frame();
    if (!blob) return;
    const time = new Date().toTimeString().slice(0, 8).replaceAll(":", "-");
    queue([new File([blob], `camera ${time}.jpg`)]);
  }

  let loops = 0;

  async function live() {
    const own = ++loops; // ends an earlier loop, whose answer may still be awaited
    at("snap").disabled = at("live").checked;
    at("viewfinder").classList.toggle("live", at("live").checked);
    let card = null;
    while (at("live").checked && own === loops) {
      const blob = await frame();
      if (blob) card = await predict(blob, "camera.jpg", at("handedness").value, card?.isConnected ? card : null);
      else await new Promise(requestAnimationFrame);
      if (blob && !card && own === loops) at("live").checked = false; // the reason is told
    }
    if (own !== loops) return;
    at("snap").disabled = false;
    at("viewfinder").classList.remove("live");
    tell();
  }

  // What the reader does.

  at("files").addEventListener("change", ({ target }) => {
    queue([...target.files]);
    target.value = ""; // so that the same file can be chosen again
  });
  const dropped = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!dropped(event)) return;
    event.preventDefault();
    at("drop").classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) at("drop").classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    if (!dropped(event)) return;
    event.preventDefault();
    at("drop").classList.remove("over");
    queue([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", ({ clipboardData: { files } }) => { if (files.length) queue(files); });
  at("camera").addEventListener("click", start);
  at("stop").addEventListener("click", stop);
  at("snap").addEventListener("click", snap);
  at("live").addEventListener("change", live);
  at("download").addEventListener("click", download);
  at("clear").addEventListener("click", () => { [...results.keys()].forEach(forget); at("files").focus(); });

  at("legend").append(...HAND.fingers.map(([name, color]) => {
    const dot = element("i");
    dot.style.background = color;
    return element("span", {}, dot, name);
  }));
})();
