"""The product in a real browser: Debian's Chromium, the real gateway, a real worker, pages built from the real client."""
