"""visit.py JAR PORT sign-in|look: requests with a browser's jar, which knows hosts and not ports."""

import json
import sys
from pathlib import Path

from ready import check, client, person

jar, port, what = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
if what == "sign-in":
    person("anna", "annotators")
browser = client()
for name, value in (json.loads(jar.read_text()) if jar.exists() else {}).items():
    browser.cookies[name] = value
host = {"HTTP_HOST": f"127.0.0.1:{port}"}
if what == "sign-in":
    browser.get("/accounts/login/", **host)
    answer = browser.post(
        "/accounts/login/", {"username": "anna", "password": "a long password for tests"}, **host
    )
    print(f"      port {port}: signing in gives {answer.status_code}")
else:
    answer = browser.get("/me/", **host)
    check(
        f"port {port}: still signed in",
        answer.status_code == 200,
        f"status {answer.status_code} {answer.get('Location', '')}",
    )
jar.write_text(json.dumps({name: morsel.value for name, morsel in browser.cookies.items() if morsel.value}))
print("      cookies now:", ", ".join(sorted(browser.cookies)))
