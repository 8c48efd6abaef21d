"""Answers are hostile: an agent repeats what it has read."""

import pytest

from tests.browser.chromium import Browser
from tests.browser.service import Service

PAYLOADS = {
    "image": '<img src=x onerror="parent.pwned=1">',
    "script": "<script>pwned=1</script>",
    "svg": "<svg onload=pwned=1><script>pwned=1</script></svg>",
    "iframe": "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    "link": "[a](javascript:pwned=1) [b](JaVaScRiPt:pwned=1) [c](data:text/html,<script>pwned=1</script>)",
    "entity": "[click](&#106;avascript:pwned=1) [two](java&#10;script:pwned=1)",
    "reference": r"[click][1]\n\n[1]: javascript:pwned=1",
    "autolink": "<javascript:pwned=1> <data:text/html,x>",
    "fence": r"```\"onmouseover=pwned=1\n</code></pre><img src=x onerror=pwned=1>\n```",
    "table": r"|<img src=x onerror=pwned=1>|b|\n|-|-|\n|<svg/onload=pwned=1>|</td><script>pwned=1</script>|",
    "style": "<style>body{display:none}</style> <div style='position:fixed;inset:0'>over</div>",
    "form": "<form action=/api/v1/sessions method=post><button>x</button></form>",
    "clobber": "<a id=app></a><form name=getElementById></form>",
    "template": "<math><mi><template><img src=x onerror=pwned=1></template></mi></math>",
}


@pytest.mark.parametrize("name", PAYLOADS)
def test_nothing_runs(page: Browser, name: str) -> None:
    """No markup of an answer becomes an element, an attribute or a link that runs anything."""
    page.ask("say before " + PAYLOADS[name])
    bad = page.js(
        """const root = document.querySelector('.reply');
        const tags = 'script,iframe,object,embed,img,svg:not(.icon),form,style,link,meta,base,math,template';
        const found = [...root.querySelectorAll(tags)].map((e) => e.outerHTML);
        for (const e of root.querySelectorAll('*')) for (const a of e.attributes) {
            if (/^on/i.test(a.name) || a.name === 'style' || a.name === 'id') found.push(e.outerHTML);
            if (a.name === 'href' && !/^(https?:|mailto:|#)/.test(a.value)) found.push(e.outerHTML); }
        for (const a of root.querySelectorAll('a')) a.click();
        return found;"""
    )
    assert bad == []
    assert not page.js("return window.pwned")


def test_links(page: Browser, service: Service) -> None:
    """Links lead to other sites or to files; addresses of the service, some of which act, are none."""
    act = "/api/v1/chat/stream?message=x"
    page.ask(
        f"say [site](https://example.com/a) [file](notes/a.txt) [api]({act})"
        f" [own]({service.url}api/v1/sessions) [up](../../etc/passwd)"
        f" ![remote](https://example.com/p.png) ![act]({act})"
    )
    links = page.js(
        """return [...document.querySelectorAll('.answer a')]
        .map((link) => [link.textContent, link.getAttribute('href'), link.target])"""
    )
    assert links == [
        ["site", "https://example.com/a", "_blank"],
        ["file", "#", ""],
        ["remote", "https://example.com/p.png", "_blank"],
    ]
    assert not page.all(".answer img")


def test_policy(page: Browser) -> None:
    """The policy holds: what got into the page would not run, and nothing is asked of other hosts."""
    hosts = page.js(
        """const loaded = performance.getEntriesByType('resource');
        return [...new Set(loaded.map((entry) => new URL(entry.name).origin))]"""
    )
    assert hosts == [page.js("return location.origin")]
    page.js(
        """document.addEventListener('securitypolicyviolation', (e) => {
            window.refused = [...(window.refused ?? []), e.effectiveDirective]; });
        const script = document.createElement('script');
        try { script.textContent = 'window.pwned = 1'; document.body.append(script) } catch {}
        const image = document.createElement('img');
        try { image.setAttribute('onerror', 'window.pwned = 1') } catch {}
        image.src = 'https://example.com/x.png'; document.body.append(image);
        try { document.body.insertAdjacentHTML('beforeend', '<img src=x onerror="window.pwned=1">') } catch {}
        // Later, for what the driver runs is exempt.
        setTimeout(() => { try { window.pwned = eval('1') } catch { window.evalRefused = 1 } });"""
    )
    refused = "return window.evalRefused && window.refused?.includes('img-src')"
    page.until(lambda: page.js(refused), "both refused")
    assert not page.js("return window.pwned")
    page.console()  # where the browser has complained of all that
