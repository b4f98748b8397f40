"""Confluent's own serializers and deserializers, for the three formats: reads what it is given, and writes the same data.

Argument: JSON with `registry`, `topics`, `schemas` (text, and for Protobuf a file's descriptor in base64) and `ours`
(bytes in base64). Prints JSON: what it read, and what it wrote.
"""

import base64
import json
import sys

from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

given = json.loads(sys.argv[1])
client = SchemaRegistryClient({"url": given["registry"]})
schemas = given["schemas"]


def context(name):
    return SerializationContext(given["topics"][name], MessageField.VALUE)


def message_class(name):
    file = descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(schemas["descriptor"]))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def protobuf_data(message):
    return json_format.MessageToDict(message)


Outer = message_class("shop.v1.Order")
Inner = message_class("shop.v1.Order.Line")
ours = {name: base64.b64decode(text) for name, text in given["ours"].items()}

read = {
    "avro": AvroDeserializer(client, schemas["avroNewer"])(ours["avro"], context("avro")),
    "json": JSONDeserializer(schemas["json"], schema_registry_client=client)(ours["json"], context("json")),
    "protobuf": protobuf_data(
        ProtobufDeserializer(Outer, {}, schema_registry_client=client)(ours["protobuf"], context("protobuf"))
    ),
    "nested": protobuf_data(
        ProtobufDeserializer(Inner, {}, schema_registry_client=client)(ours["nested"], context("nested"))
    ),
}

data = given["data"]
written = {
    "avro": AvroSerializer(client, schemas["avroNewer"])(data["avro"], context("avroTheirs")),
    "json": JSONSerializer(schemas["json"], client)(data["json"], context("json")),
    "protobuf": ProtobufSerializer(Outer, client)(json_format.ParseDict(data["protobuf"], Outer()), context("theirs")),
    "nested": ProtobufSerializer(Inner, client)(json_format.ParseDict(data["nested"], Inner()), context("theirs")),
}

print(json.dumps({"read": read, "written": {name: base64.b64encode(b).decode() for name, b in written.items()}}))
