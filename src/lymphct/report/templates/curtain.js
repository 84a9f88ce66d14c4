"use strict";
// The curtain between two phases follows a slider that lies over the whole picture: pointer and keys move it.
for (const stack of document.querySelectorAll(".curtain .stack")) {
  const slider = stack.querySelector("input");
  const move = () => {
    const share = (100 * slider.value) / slider.max;
    stack.style.setProperty("--at", `${share}%`);
    slider.setAttribute("aria-valuetext", `${Math.round(share)} % venous`);
  };
  slider.addEventListener("input", move);
  slider.hidden = false;
  move();
}
for (const how of document.querySelectorAll(".phases .moved")) how.hidden = false;
