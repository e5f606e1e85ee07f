package io.flownexus.leshan.simulator;

import org.eclipse.leshan.client.resource.listener.ObjectsListenerAdapter;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.transport.californium.client.ObserveCompositeRelationFilter;

/** Tells the root of changes, for those who observe a composite. */
final class CompositeListener extends ObjectsListenerAdapter {
  private final NotifyingRoot root;

  CompositeListener(NotifyingRoot root) {
    this.root = root;
  }

  @Override
  public void resourceChanged(LwM2mPath... paths) {
    root.changed(new ObserveCompositeRelationFilter(paths));
  }
}
