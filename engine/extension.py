"""What ``import engine.extension`` in zipline's ``extension.py`` does: our parts are in place from then on."""

from engine.host.registration import install

install()
