"""Ways into polyops that must not import torch first.

Importing any module of the ``polyops`` package imports torch and patches it. The two modules here
stand outside for that reason: ``autoload`` runs inside ``import torch`` itself, and ``cli`` answers
``polyops --help`` at once.
"""
