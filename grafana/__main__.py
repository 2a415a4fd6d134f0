"""`make dashboards`: writes the generated files."""

from grafana.files import FOLDER, generated

for path, text in generated().items():
    (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
    (FOLDER / path).write_text(text, encoding="utf-8")
