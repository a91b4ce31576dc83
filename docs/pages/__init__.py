"""The pages that come from the chapters, their READMEs and the results.

`files.write` writes them all. Nothing here is computed or trained. From the bottom up:

- `repository` has what the pages are made of, `wording` what they say in each language;
- `site_map` has the page of each file, `links` leads to it, `markdown` takes files apart;
- `block_drawings`, `frameworks`, `recordings`, `full_runs`, `comparison` and `exercises` make the
  parts of a section's page;
- `sections`, `results` and `readmes` make the pages, `front` a table for the front page.
"""
