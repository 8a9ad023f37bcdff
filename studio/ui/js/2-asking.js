/* Owns: what is said over or beside a thing: a question before something is lost, a complaint at a field, a toast. */
(() => {
  const { studio } = window;
  /** `question` and `yes` are in the page's language, as they were shown. */
  studio.ask = (question, yes) => new Promise((answer) => {
    const box = document.createElement("dialog");
    box.className = "ask";
    box.innerHTML = '<form method="dialog"><p></p><div class="row end"><button class="btn" value="no"></button><button class="btn danger" value="yes"></button></div></form>';
    box.querySelector("p").textContent = question;
    box.querySelector("[value=no]").textContent = studio.translate("Cancel");
    box.querySelector("[value=yes]").textContent = yes;
    (document.querySelector(".gradio-container") || document.body).append(box);
    box.addEventListener("close", () => { answer(box.returnValue === "yes"); box.remove(); });
    box.showModal();
  });
  studio.complain = (field, words) => {
    field.parentElement.querySelector(".wrong.here")?.remove();
    if (words) field.after(studio.h("p.wrong.here", { role: "alert" }, words));
  };
  studio.toast = () => {
    let at = document.querySelector(".gradio-container .sending.floating");
    if (!at) { at = document.createElement("div"); at.className = "sending floating"; at.setAttribute("aria-live", "polite"); document.querySelector(".gradio-container").append(at); }
    return at;
  };
})();
