// The theme opens the source of a page in a new tab. Students want the notebook as a file, which a browser does for
// pages from a server; from a folder the tab shows the file, to be saved from there.
document.addEventListener("DOMContentLoaded", () => {
  if (location.protocol === "file:") return;
  for (const link of document.querySelectorAll("a.btn-download-source-button, a.btn-download-notebook-button")) {
    link.setAttribute("download", "");
    link.removeAttribute("target");
  }
});
