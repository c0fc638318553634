"""Validates the documents of a YAML file, whose name is given, against the schemas of Kubernetes, and
prints them as JSON. The Gateway API is none of Kubernetes' own: its schemas are elsewhere."""

import json
import sys

import kubernetes_validate
import yaml

documents = list(yaml.safe_load_all(open(sys.argv[1])))
for document in documents:
    if document["apiVersion"].startswith("gateway.networking.k8s.io/"):
        continue
    for version in ["1.30", kubernetes_validate.latest_version()]:
        kubernetes_validate.validate(document, version, strict=True)
print(json.dumps(documents))
