/* Owns: ending the animation that Gradio forgets. While the page loads, Gradio counts the seconds at each frame, and goes
   on when its indicator is gone (gradio 6.31, StatusTracker): 60 times a second, 7% of a core, for as long as the page is
   open. The numbers of requested frames are counted by document (HTML Standard, "animation frames"), so a loop is seen:
   between two requests of ours there is exactly one other, frame after frame. That one is canceled. */
(() => {
  const FRAMES = 60, TRIES = 600;          /* 1 s at 60 Hz, longer than every transition; after 10 s nothing is looked for */
  let last = 0, alone = 0, tries = 0;
  window.studio.endForgottenFrames = () => {
    const id = requestAnimationFrame(window.studio.endForgottenFrames);
    alone = last && id - last === 2 ? alone + 1 : 0;
    last = id;
    tries += 1;
    if (alone >= FRAMES) cancelAnimationFrame(id - 1);
    if (alone >= FRAMES || tries >= TRIES) cancelAnimationFrame(id);
  };
})();
