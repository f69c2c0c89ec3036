// How the search ranks pages: what teaches a technique stands before what only names it.
// https://www.sphinx-doc.org/en/master/usage/configuration.html#confval-html_search_scorer
var Scorer = {
  score: ([page, title, anchor, description, score]) => {
    if (page.startsWith("book/chapters/")) return score + 10;
    if (page.startsWith("labs/")) return score + 5;
    if (page.startsWith("book/reference/")) return score - 10;
    return score;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
