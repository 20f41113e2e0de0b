"""The claim that started the field, checked: architecture, bits and hardware chosen together, or one after the other.

``flow compare`` runs whole searches in several modes under several limits and seeds, all on one training budget, and
writes what came out: ``cases`` says what is compared, ``runs`` does it, ``summary`` judges it, ``page`` writes it down.
"""
