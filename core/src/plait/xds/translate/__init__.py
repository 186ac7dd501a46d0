"""The translation of Envoy's messages to the frozen model, a module for each resource.

Every function takes a message, the ``Where`` of it, and (where it needs others) the ``Translator``; it knows nothing of
text, and imports no generated module. What a field of these messages does here, if it does anything, is said where the
message is translated: ``Translator.only`` refuses every field that is set and not named there.
"""
