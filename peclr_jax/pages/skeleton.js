// Hands that turn. HAND holds bones, colours and widths: see skeleton.py. SKELETONS.show(canvas) draws
// the hand of a canvas that is new on the page, or whose joints have changed.
const SKELETONS = (() => {
  "use strict";
  const RULER = 50; // mm
  const NEAR = "200px"; // hands this far out of sight are drawn already
  const states = new WeakMap();

  function read(canvas) {
    const joints = JSON.parse(canvas.dataset.joints);
    return { joints, reach: Math.max(1, ...joints.map((p) => Math.hypot(...p))) };
  }

  function start(canvas) {
    const state = { ...read(canvas), yaw: 0, pitch: 0, shown: false };
    states.set(canvas, state);
    let last = null;
    canvas.addEventListener("pointerdown", (event) => {
      last = [event.clientX, event.clientY];
      if (event.isTrusted) canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!last) return;
      turn(canvas, (event.clientX - last[0]) * 0.01, (event.clientY - last[1]) * 0.01);
      last = [event.clientX, event.clientY];
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, () => { last = null; });
    }
    const reset = () => {
      state.yaw = state.pitch = 0;
      draw(canvas);
    };
    canvas.addEventListener("dblclick", reset);
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!step && event.key !== "Home") return;
      event.preventDefault();
      if (step) turn(canvas, step[0] * 0.15, step[1] * 0.15);
      else reset();
    });
  }

  function turn(canvas, yaw, pitch) {
    const state = states.get(canvas);
    state.yaw += yaw;
    state.pitch = Math.max(-Math.PI / 2, Math.min(Math.PI / 2, state.pitch + pitch));
    draw(canvas);
  }

  // The near side follows the pointer: x right, y down, z away from the reader.
  function rotate([x, y, z], { yaw, pitch }) {
    const [c, s, d, t] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
    const [u, w] = [c * x - s * z, s * x + c * z];
    return [u, d * y - t * w, t * y + d * w];
  }

  function draw(canvas) {
    const state = states.get(canvas);
    if (!state.shown) return;
    const side = canvas.clientWidth;
    if (!side) return;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = canvas.height = Math.round(side * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const scale = (0.46 * side) / state.reach;
    const points = state.joints.map((joint) => rotate(joint, state));
    const place = (p) => [side / 2 + scale * p[0], side / 2 + scale * p[1]];
    const depth = (p) => Math.max(0, Math.min(1, 0.5 + p[2] / (2 * state.reach))); // 0 near, 1 far

    const strokes = HAND.bones.map(([a, b]) => ({
      z: (points[a][2] + points[b][2]) / 2, color: HAND.colors[b], from: points[a], to: points[b],
    })).concat(points.map((p, i) => ({ z: p[2] - 0.5, color: HAND.colors[i], dot: p })));
    strokes.sort((a, b) => b.z - a.z); // far ones first
    const thick = Math.max(2, side / 60);
    context.lineCap = "round";
    for (const { color, from, to, dot } of strokes) {
      const width = thick * (1.35 - 0.7 * (dot ? depth(dot) : (depth(from) + depth(to)) / 2));
      for (const [style, rim] of [[HAND.rimColor, 2 * HAND.rim], [color, 0]]) {
        context.strokeStyle = context.fillStyle = style;
        context.beginPath();
        if (dot) {
          context.arc(...place(dot), (width * (HAND.dotDiameter + rim)) / 2, 0, 2 * Math.PI);
          context.fill();
        } else {
          context.lineWidth = width * (1 + rim);
          context.moveTo(...place(from));
          context.lineTo(...place(to));
          context.stroke();
        }
      }
    }
    context.globalAlpha = 0.7;
    context.strokeStyle = context.fillStyle = getComputedStyle(canvas).color;
    context.lineWidth = 1.5;
    context.font = "11px system-ui, sans-serif";
    context.beginPath();
    context.moveTo(8, side - 8);
    context.lineTo(8 + scale * RULER, side - 8);
    context.stroke();
    context.fillText(`${RULER / 10} cm`, 8, side - 13);
  }

  // A canvas keeps its pixels; only those in sight get any, or a long page would fill the memory.
  function setShown(canvas, shown) {
    states.get(canvas).shown = shown;
    if (shown) draw(canvas);
    else canvas.width = canvas.height = 0;
  }

  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting !== states.get(target).shown) setShown(target, isIntersecting);
    }
  }, { rootMargin: NEAR });
  const resize = new ResizeObserver((entries) => entries.forEach(({ target }) => draw(target)));

  function show(canvas) {
    if (states.has(canvas)) {
      Object.assign(states.get(canvas), read(canvas));
      draw(canvas);
      return;
    }
    start(canvas);
    // At once, so that the page is whole when it is first seen; what is scrolled to, by observers.
    if (canvas.getBoundingClientRect().top < window.innerHeight) setShown(canvas, true);
    watch.observe(canvas);
    resize.observe(canvas);
  }

  const all = () => document.querySelectorAll("canvas.skeleton");
  all().forEach(show);
  window.addEventListener("beforeprint", () => all().forEach((canvas) => setShown(canvas, true)));
  return { show };
})();
