"""A static site with the numbers of a domain: a page, documents of panels, and the pointer to the newest of them.

Belongs here: the page itself (`page/`), which files a site has, and in which order they are written, so that a reader
never sees half of a refresh. Does not belong here: the values of panels (panels), answering requests.

The files of a site, below a directory or a bucket's prefix:

- index.html: the page; asked for again each time
- page/<digest>/...: its script, its style and the chart library; never changes
- data/<version>.json: the values of all panels (panels.document); never changes
- data/latest.json: which document is the newest, and the state of every mart (panels.state); asked for again each time
"""
