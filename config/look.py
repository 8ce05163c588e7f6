"""How the admin looks: unfold's settings. Read by settings.py alone."""

from typing import Any


def look(version: str, static_url: str, site_url: str) -> dict[str, Any]:
    """UNFOLD, for Django's settings. `static_url` ends with a slash."""
    return {
        "SITE_TITLE": "Weft",
        "SITE_HEADER": "Weft",
        "SITE_SUBHEADER": f"Agent server {version}",
        "SITE_URL": site_url,
        "SITE_ICON": f"{static_url}weft/favicon.svg",
        "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": f"{static_url}weft/favicon.svg"}],
        "STYLES": [f"{static_url}weft/admin.css", f"{static_url}weft/console.css"],
        "SCRIPTS": [f"{static_url}weft/console/theme.js", f"{static_url}weft/console/module.js"],
        "SHOW_HISTORY": True,
        "SHOW_VIEW_ON_SITE": False,
        "COLORS": {
            "primary": {
                "50": "oklch(98.4% .014 180.7)",
                "100": "oklch(95.3% .051 180.8)",
                "200": "oklch(91% .096 180.4)",
                "300": "oklch(85.5% .138 181.1)",
                "400": "oklch(77.7% .152 181.9)",
                "500": "oklch(70.4% .14 182.5)",
                "600": "oklch(51.1% .096 186.4)",
                "700": "oklch(46.5% .086 187.4)",
                "800": "oklch(43.7% .078 188.2)",
                "900": "oklch(38.6% .063 188.4)",
                "950": "oklch(27.7% .046 192.5)",
            },
        },
    }
